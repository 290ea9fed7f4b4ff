"""A start without MODEL serves what DJL's containers would: one model, or none."""

from pathlib import Path

import pytest

from hotswap.config import Config
from tests.hotswap.djl_config.folders import djl_folder, refusal, started


def found(
    environment: dict[str, str] | None = None, store: Path | None = None
) -> Config:
    return started(None, environment, store=store).config


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A model as SageMaker unpacks it."""
    folder = tmp_path / "opt" / "ml" / "model"
    return djl_folder(folder, "option.max_loras=3", "config.json", "adapters/")


def test_sagemakers_folder_is_a_model(store: Path) -> None:
    config = found(store=store)

    assert config.model.path == str(store)
    assert config.lora.max_loras == 3
    assert config.adapters.directory == str(store / "adapters")
    assert config.server.served_model_names == ("model",)


def test_a_folder_without_properties_is_one_as_well(tmp_path: Path) -> None:
    (tmp_path / "adapters").mkdir()
    (tmp_path / "config.json").write_text("{}")

    config = found({"OPTION_MAX_LORAS": "3"}, tmp_path)

    assert config.model.path == str(tmp_path)
    assert config.lora.max_loras == 3
    assert config.adapters.directory == str(tmp_path / "adapters")


def test_the_store_that_is_named_holds_models_or_is_one(
    store: Path, tmp_path: Path
) -> None:
    (tmp_path / "some").mkdir()
    djl_folder(tmp_path / "some" / "llama-1", "", "config.json")
    (tmp_path / "some" / "empty").mkdir()

    holds = found({"SERVING_MODEL_STORE": str(tmp_path / "some")}, store)
    is_one = found({"SERVING_MODEL_STORE": str(store)})

    assert holds.model.path == str(tmp_path / "some" / "llama-1")
    assert holds.server.served_model_names == ("llama_1", "llama-1")
    assert is_one.model.path == str(store)


def test_a_folder_in_a_folder_is_the_model(tmp_path: Path) -> None:
    inner = djl_folder(tmp_path / "outer" / "inner", "", "config.json")

    assert found(store=tmp_path).model.path == str(inner)
    assert found(store=tmp_path / "outer").model.path == str(inner)


def test_a_folder_of_adapters_alone_is_not_the_model(tmp_path: Path) -> None:
    (tmp_path / "adapters" / "sql").mkdir(parents=True)

    config = found({"OPTION_MODEL_ID": "org/model"}, tmp_path)

    assert config.model.path == "org/model"
    assert config.adapters.directory == str(tmp_path / "adapters")


def test_nothing_that_is_there_is_no_model(tmp_path: Path) -> None:
    assert not found(store=tmp_path).model.path
    assert not found(store=tmp_path / "none").model.path
    assert not found({"SERVING_LOAD_MODELS": "NONE"}, tmp_path).model.path


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("{}", "model"),
        ("mine={}", "mine"),
        ("mine::Python={}", "mine"),
        ("[mine:v1:Python:*]={}", "mine"),
        ("test::MPI=file://{}", "test"),
        ("ALL", "model"),
    ],
)
def test_models_to_load_may_have_a_name(told: str, name: str, store: Path) -> None:
    environment = {"SERVING_LOAD_MODELS": told.format(store)}

    config = found(environment, store)

    assert config.model.path == str(store)
    assert config.server.served_model_names[0] == name


def test_models_to_load_may_be_elsewhere() -> None:
    named = found({"SERVING_LOAD_MODELS": "mine=s3://bucket/llama/"})
    url = "https://host/a/my-llama.tar.gz?signature=s3cret"
    archive = found({"SERVING_LOAD_MODELS": url})

    assert named.model.path == "s3://bucket/llama/"
    assert named.server.served_model_names == ("mine", "llama")
    assert archive.model.path == url
    assert archive.server.served_model_names == ("my_llama", "my-llama")
    assert "s3cret" not in refusal(None, {"SERVING_LOAD_MODELS": f"{url},s3://b/a"})


def test_a_model_of_the_hub_has_its_revision_and_what_options_say() -> None:
    environment = {
        "HF_MODEL_ID": "meta-llama/Llama-3.1-8B",
        "HF_REVISION": "v1",
        "HF_TASK": "text-generation",
        "OPTION_MODEL_ID": "org/other",  # DJL writes the other one into a file
        "OPTION_MAX_LORAS": "4",
        "TENSOR_PARALLEL_DEGREE": "1",
    }

    loaded = started(None, environment)

    config = loaded.config
    assert config.model.path == "hf://meta-llama/Llama-3.1-8B@v1"
    assert config.server.served_model_names == (
        "meta_llama_Llama_3_1_8B",
        "Llama-3.1-8B",
    )
    assert config.lora.max_loras == 4
    assert not loaded.unheeded


def test_sagemakers_folder_named_as_the_model_is_one_model(store: Path) -> None:
    config = found({"HF_MODEL_ID": str(store)}, store)

    assert config.model.path == str(store)
    assert config.lora.max_loras == 3


def test_the_model_that_is_named_goes_before_what_the_environment_names(
    store: Path,
) -> None:
    environment = {"HF_MODEL_ID": "org/name", "SERVING_MODEL_STORE": str(store)}

    assert started("org/other", environment).config.model.path == "org/other"


def test_what_cannot_be_served_ends_the_start(store: Path, tmp_path: Path) -> None:
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "model.tar.gz").write_bytes(b"")
    two = f"{store},a=s3://bucket/a"

    for environment, named in (
        ({"HF_MODEL_ID": "org/name", "SERVING_MODEL_STORE": str(store)}, "several"),
        ({"SERVING_LOAD_MODELS": two}, "several models"),
        ({"SERVING_LOAD_MODELS": "workflow.json"}, "no folder"),
        ({"SERVING_LOAD_MODELS": f"a::PyTorch={store}"}, "engine=PyTorch"),
        ({"SERVING_MODEL_STORE": "/no/such/store"}, "/no/such/store"),
        ({"SERVING_MODEL_STORE": str(tmp_path / "packed")}, "unpack it"),
        (
            {"SERVING_MODEL_STORE": str(store), "SAGEMAKER_SECURE_MODE": "true"},
            "SAGEMAKER_SECURE_MODE",
        ),
        (
            {"SERVING_MODEL_STORE": str(store), "SAGEMAKER_MULTI_MODEL": "true"},
            "SAGEMAKER_MULTI_MODEL",
        ),
    ):
        assert named in refusal(None, environment)


def test_sagemakers_own_limits_count_for_a_model_of_djls_alone(store: Path) -> None:
    environment = {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "2"}

    assert found(environment, store).limits.body_bytes == 2 << 20
    assert started("org/name", environment).config.limits == Config().limits
