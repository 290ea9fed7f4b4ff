"""A folder's model, adapters, handler and names are those that DJL would serve."""

from pathlib import Path

import pytest

from hotswap.djl_config.model_store import named_by_djl
from tests.hotswap.djl_config.folders import djl_folder, refusal, started

# Of FOLDER/base, and of what lies nowhere
MODELS = {
    "": "FOLDER",
    "option.model_id=": "FOLDER",
    "option.model_id=base": "FOLDER/base",
    "option.model_id=./base": "FOLDER/base",
    "option.model_id=./none": "FOLDER/none",
    "option.model_id=org/name": "org/name",
    "option.model_id=org/name\noption.revision=v1": "hf://org/name@v1",
    "option.model_id=s3://bucket/prefix/": "s3://bucket/prefix/",
    "option.model_id=/opt/models/base": "/opt/models/base",
    "option.model_id=file:///opt/models/base": "/opt/models/base",
}


@pytest.mark.parametrize("lines", MODELS)
def test_the_model_is_the_one_that_is_named_or_the_folder(
    lines: str, tmp_path: Path
) -> None:
    folder = djl_folder(tmp_path / "llama", lines, "config.json", "base/config.json")

    loaded = started(folder)

    assert loaded.config.model.path == MODELS[lines].replace("FOLDER", str(folder))
    assert not loaded.unheeded


def test_the_environment_names_the_model_that_the_file_does_not(tmp_path: Path) -> None:
    folder = djl_folder(tmp_path / "llama", "engine=Python", "config.json")
    environment = {"OPTION_MODEL_ID": "org/name"}

    assert started(folder, environment).config.model.path == "org/name"
    assert started(None, environment).config.model.path == "org/name"
    assert started("org/other", environment).config.model.path == "org/other"


def test_the_model_may_be_named_in_the_toml_file(tmp_path: Path) -> None:
    folder = djl_folder(tmp_path / "llama", "option.model_id=org/name")
    toml = tmp_path / "hotswap.toml"
    toml.write_text(f'[model]\npath = "{folder}"')

    assert started(None, toml=toml).config.model.path == "org/name"


def test_a_revision_of_a_folder_is_warned_about(tmp_path: Path) -> None:
    folder = djl_folder(tmp_path / "llama", "option.revision=v1", "config.json")

    (said,) = started(folder).unheeded

    assert said == "option.revision: only models of the hub have revisions"


def test_the_adapters_are_beside_the_file_or_beside_the_model(tmp_path: Path) -> None:
    lines = "option.model_id=base"
    beside = djl_folder(tmp_path / "a", lines, "adapters/", "base/")
    with_model = djl_folder(tmp_path / "b", lines, "base/adapters/")
    both = djl_folder(tmp_path / "c", lines, "adapters/", "base/adapters/")
    neither = djl_folder(tmp_path / "d", lines, "base/")

    def directory(folder: Path) -> str:
        return started(folder).config.adapters.directory

    assert directory(beside) == str(beside / "adapters")
    assert directory(with_model) == str(with_model / "base" / "adapters")
    assert directory(both) == str(both / "adapters")
    assert directory(neither) == ""
    (said,) = started(both).unheeded
    assert f"{both / 'base' / 'adapters'} is not watched" in said


@pytest.mark.parametrize("text", ["loras", "../loras", "/opt/loras", "s3://b/loras"])
def test_the_directory_of_adapters_may_be_another(text: str, tmp_path: Path) -> None:
    folder = djl_folder(tmp_path / "llama", f"option.adapters={text}", "adapters/")

    found = started(folder).config.adapters.directory

    is_elsewhere = text.startswith(("/", "s3://"))
    assert found == (text if is_elsewhere else str(folder / text))


def test_adapters_may_be_registered_from_the_folder(tmp_path: Path) -> None:
    folder = djl_folder(tmp_path / "llama", "engine=Python", "config.json")

    assert started(folder).config.adapters.roots == (str(folder),)


def test_the_handler_is_model_py_or_the_file_that_is_named(tmp_path: Path) -> None:
    files = ("config.json", "model.py", "mine.py")
    silent = djl_folder(tmp_path / "a", "engine=Python", *files)
    named = djl_folder(tmp_path / "b", "option.entryPoint=mine.py", *files)
    own = djl_folder(tmp_path / "c", "option.entryPoint=djl_python.huggingface", *files)
    none = djl_folder(tmp_path / "d", "engine=Python", "config.json")

    def handler(folder: Path) -> str:
        return started(folder).config.hooks.handler

    assert handler(silent) == str(silent / "model.py")
    assert handler(named) == str(named / "mine.py")
    assert handler(own) == handler(none) == ""
    variable = {"DJL_ENTRY_POINT": "mine.py"}
    assert started(silent, variable).config.hooks.handler == str(silent / "mine.py")


def test_formatters_beside_a_handler_of_djls_are_not_left_out(tmp_path: Path) -> None:
    line = "option.entryPoint=djl_python.huggingface"
    folder = djl_folder(tmp_path / "llama", line, "config.json")
    (folder / "model.py").write_text("@output_formatter\ndef mine(output):\n  ...")

    assert f"the formatters of {folder / 'model.py'}" in refusal(folder)


def test_a_folder_with_a_handler_and_no_model_is_served_with_echo(
    tmp_path: Path,
) -> None:
    """DJL's own test model `adaptecho` is such a one."""
    lines = (
        "option.pythonExecutable=python3\noption.entryPoint=model.py\n"
        "option.handler=handle\nretry_threshold=0\noption.enable_lora=true"
    )
    folder = djl_folder(tmp_path / "adaptecho", lines, "model.py", "adapters/")

    loaded = started(folder)

    assert loaded.config.model.path == "echo"
    assert loaded.config.server.served_model_names == ("adaptecho",)
    assert loaded.unheeded[0].startswith(f"{folder} holds no model: `echo` answers")


def test_the_model_is_called_what_djl_calls_it_and_by_its_own_name(
    tmp_path: Path,
) -> None:
    folder = djl_folder(tmp_path / "my-llama.v1", "option.model_id=org/Llama-3")
    served = djl_folder(tmp_path / "b", "option.served_model_name=x", "config.json")

    def names(folder: Path) -> tuple[str, ...]:
        return started(folder).config.server.served_model_names

    assert names(folder) == ("my_llama_v1", "Llama-3")
    assert names(served) == ("x", "b")
    flag = {"server": {"served_model_names": ["mine"]}}
    assert started(folder, flags=flag).config.server.served_model_names == ("mine",)


# `ModelInfoTest.java: testInferModelNameFromUrl` and others like them
NAMES = {
    "/models/mlp": "mlp",
    "/models/mlp/": "mlp",
    "/models/my-model.v1": "my_model_v1",
    "/models/_x": "_x",
    "/models/caf\u00e9": "caf_",
}


@pytest.mark.parametrize("path", NAMES)
def test_a_name_has_what_djl_leaves_in_it(path: str) -> None:
    assert named_by_djl(path) == NAMES[path]
    archive = named_by_djl(f"{path.rstrip('/')}.tar.gz", is_folder=False)
    assert archive == NAMES[path]


def test_other_models_keep_their_name_and_are_told_what_is_for_folders_alone() -> None:
    environment = {"OPTION_REVISION": "v1", "OPTION_ENTRYPOINT": "model.py"}

    loaded = started("org/name", environment)

    assert loaded.config.server.served_model_names == ()
    assert len(loaded.unheeded) == 2
    assert all("serving.properties" in line for line in loaded.unheeded)
