"""Sums of adapters, as requests name them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from peft import PeftModel

from tests import tiny
from tests.live.asking import COMPLETIONS, GREEDY, serve
from tests.oracle import said_by
from tests.peft_format import lora
from tests.servers import wait_until

SUM = "a*0.7+b*-0.4"
HEADER = "X-Amzn-SageMaker-Adapter-Identifier"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`a` and `b` of different ranks, `c+d` and one that saves its head."""
    root = tmp_path_factory.mktemp("adapters")
    for seed, name in enumerate(["a", "b", "c+d"]):
        tiny.save_adapter(root / name, "llama", seed, strength=1.5, r=seed + 2)
    (root / "b" / "hotswap.toml").write_text('aliases = ["bee"]\nmax_tokens = 2')
    lora("head", modules_to_save=["lm_head"]).write(root / "head")
    return root


@pytest.fixture(scope="module")
def client(model_folder: Path, directory: Path) -> Iterator[httpx.Client]:
    yield from serve(model_folder, directory)


@pytest.fixture(scope="module")
def wanted(directory: Path) -> str:
    """What PEFT's own sum of the two says."""
    model = PeftModel.from_pretrained(
        tiny.model("llama"), directory / "a", adapter_name="a"
    )
    model.load_adapter(directory / "b", adapter_name="b")
    model.add_weighted_adapter(["a", "b"], [0.7, -0.4], "sum", combination_type="cat")
    model.set_adapter("sum")
    return said_by(model.merge_and_unload().eval(), "Hello", 12)


def ask(client: httpx.Client, **body: object) -> httpx.Response:
    return client.post(
        COMPLETIONS, json={"prompt": "Hello", "max_tokens": 12, **GREEDY, **body}
    )


def text_of(response: httpx.Response) -> str:
    assert response.status_code == 200, response.text
    return str(response.json()["choices"][0]["text"])


@pytest.mark.parametrize(
    "name", [SUM, "b*-.4 + a*0.70", "bee*-0.4+a*0.7", f"tiny:{SUM}"]
)
def test_a_sum_says_what_pefts_sum_says_however_it_is_written(
    name: str, client: httpx.Client, wanted: str
) -> None:
    response = ask(client, model=name)

    assert text_of(response) == wanted
    assert response.json()["model"] == SUM
    assert response.headers["x-hotswap-adapter"] == quote(SUM)
    (row,) = [
        row
        for row in client.get("/v1/adapters").json()["data"]
        if row["composition"] == SUM and row["name"] == SUM
    ]
    assert response.headers["x-hotswap-generation"] == row["generation"]
    assert (row["rank"], row["source"]) == (5, SUM)


def test_a_sum_may_stand_wherever_a_name_may(client: httpx.Client, wanted: str) -> None:
    body = {"prompt": "Hello", "max_tokens": 12, **GREEDY}
    answers = [
        client.post(COMPLETIONS, json=body, headers={HEADER: SUM}),
        client.post(COMPLETIONS, json=body, params={"adapter": SUM}),
        ask(client, adapter=SUM),
        ask(client, adapters=SUM),
        ask(client, adapters=[SUM]),
    ]

    assert [text_of(answer) for answer in answers] == [wanted] * 5
    invoked = client.post(
        "/invocations",
        json={
            "inputs": ["Hello", "Hello"],
            "adapters": [SUM, "a"],
            "parameters": {"max_new_tokens": 12},
        },
    ).json()
    assert invoked[0]["generated_text"] == wanted
    assert invoked[1]["generated_text"] == text_of(ask(client, model="a"))


def test_a_sum_is_a_cache_and_no_model_of_the_list(client: httpx.Client) -> None:
    text_of(ask(client, model=SUM))

    ids = [card["id"] for card in client.get("/v1/models").json()["data"]]
    listed = [row["name"] for row in client.get("/adapters").json()["adapters"]]

    assert SUM not in ids
    assert SUM not in listed
    assert SUM not in client.get("/metrics").text


def test_a_real_name_goes_before_its_reading_as_a_sum(client: httpx.Client) -> None:
    response = ask(client, model="c+d")

    assert response.status_code == 200
    assert response.headers["x-hotswap-adapter"] == quote("c+d")
    assert ask(client, model="c+a").json()["error"]["message"] == (
        "The model `c` does not exist."
    )


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("a*0.5+nobody*0.5", 404, "The model `nobody` does not exist."),
        ("a+base", 404, "The model `base` is not served: it is the bare model"),
        ("a*0.5+b*x", 400, "the factor of `b`, `x`, is no decimal number"),
        ("a*0.5+b*0", 400, "the factor of `b` is 0"),
        ("a*5000", 400, "must be 1e-06 to 1000 in size"),
        ("a+", 400, "a name is missing"),
        ("a*0.5+head*0.5", 400, "`head` replaces lm_head"),
    ],
)
def test_what_is_no_sum_is_refused_by_name(
    name: str, code: int, said: str, client: httpx.Client
) -> None:
    response = ask(client, model=name)

    assert response.status_code == code, response.text
    assert said in response.json()["error"]["message"]
    assert response.json()["error"]["param"] == "model"
    elsewhere = ask(client, adapter=name)
    assert elsewhere.status_code == code
    assert elsewhere.json()["error"]["param"] == "adapter"


def test_a_replaced_part_makes_a_new_generation_and_a_removed_one_an_error(
    client: httpx.Client, directory: Path
) -> None:
    tiny.save_adapter(directory / "late", "llama", 20, strength=1.5, r=2)
    wait_until(lambda: client.get("/v1/models/late").status_code == 200)
    first = ask(client, model="late*0.5+a*0.5")
    old = client.get("/v1/adapters/late").json()["generation"]
    shutil.copy(
        tiny.save_adapter(directory.parent / "new", "llama", 21, strength=1.5, r=2)
        / "adapter_model.safetensors",
        directory / "late",
    )
    wait_until(lambda: client.get("/v1/adapters/late").json()["generation"] != old)
    second = ask(client, model="late*0.5+a*0.5")
    shutil.rmtree(directory / "late")
    wait_until(lambda: client.get("/v1/models/late").status_code == 404)
    third = ask(client, model="late*0.5+a*0.5")

    generations = [r.headers["x-hotswap-generation"] for r in (first, second)]
    assert generations[0] != generations[1]
    assert text_of(first) != text_of(second)
    assert third.status_code == 404
    assert "`late`" in third.json()["error"]["message"]


def test_a_named_sum_is_an_adapter_until_it_is_deleted(
    client: httpx.Client, wanted: str
) -> None:
    body = {"name": "blend", "composition": "bee*-0.4+a*0.7"}
    named = client.post("/v1/adapters", json=body)
    again = client.post("/v1/adapters", json=body)
    answer = ask(client, model="blend")
    half = ask(client, model="blend*0.5")
    ids = [card["id"] for card in client.get("/v1/models").json()["data"]]
    removed = client.delete("/v1/adapters/blend")

    assert (named.json()["composition"], named.json()["state"]) == (SUM, "ready")
    assert again.status_code == 409
    assert text_of(answer) == wanted
    assert answer.headers["x-hotswap-adapter"] == "blend"
    assert half.headers["x-hotswap-adapter"] == quote("a*0.35+b*-0.2")
    assert "blend" in ids
    assert removed.json() == {"name": "blend", "state": "removed"}
    assert ask(client, model="blend").status_code == 404


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"name": "x", "composition": "a+nobody"}, 404, "composition"),
        ({"name": "x", "composition": "a*"}, 400, "composition"),
        ({"name": "x*2", "composition": "a"}, 400, "name"),
        ({"name": "a", "composition": "a*2", "replace": True}, 400, "composition"),
        ({"name": "tiny", "composition": "a"}, 400, "name"),
        ({"name": "x"}, 400, "composition"),
    ],
)
def test_a_name_for_what_is_no_sum_is_refused(
    body: dict[str, object], code: int, field: str, client: httpx.Client
) -> None:
    response = client.post("/v1/adapters", json=body)

    assert response.status_code == code, response.text
    assert response.json()["error"]["param"] == field
