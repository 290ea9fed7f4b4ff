"""Fields of TGI's and LoRAX' bodies: how they reach the engine, and what is refused."""

from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.library.hooks import Hooks
from hotswap.sampling_params import SamplingParams
from tests.fake_server import FakeEngine, FakeLibrary, app_of
from tests.hotswap.api.test_prompt_options import BOS, beginning
from tests.hotswap.api.tgi.asking import ask

ROUTES = ["/", "/generate", "/generate_stream"]
DEFAULT = SamplingParams(temperature=0.0, includes_stop=True)


@pytest.mark.parametrize(
    ("said", "temperature"),
    [
        ({}, 0),
        ({"do_sample": True}, 1),
        ({"do_sample": False, "temperature": 0.5}, 0.5),  # its clients' default
        ({"top_k": 3}, 1),
        ({"top_p": 0.5}, 1),
        ({"top_p": 1.0, "top_k": 0}, 0),
    ],
    ids=str,
)
def test_whatever_says_how_to_sample_asks_for_it(
    said: dict[str, Any], temperature: float, client: TestClient, engine: FakeEngine
) -> None:
    ask(client, parameters=said)

    assert engine.messages[-1].params.temperature == temperature


def test_every_parameter_reaches_the_engine(
    client: TestClient, scorer: FakeEngine
) -> None:
    ask(
        client,
        parameters={
            "max_new_tokens": 4,
            "temperature": 0.5,
            "top_k": 3,
            "top_p": 0.9,
            "min_p": 0.1,
            "repetition_penalty": 1.5,
            "frequency_penalty": 0.25,
            "presence_penalty": 0.75,
            "seed": 3,
            "stop": ["z"],
            "ignore_eos_token": True,
            "details": True,
            "decoder_input_details": True,
            "top_n_tokens": 2,
            "truncate": 2,
            "typical_p": 1.0,
            "watermark": False,
            "api_token": "a secret",
            "adapter_source": "local",
        },
    )

    message = scorer.messages[-1]
    assert len(message.prompt) == 2
    assert message.params == SamplingParams(
        max_tokens=4,
        temperature=0.5,
        top_k=3,
        top_p=0.9,
        min_p=0.1,
        repetition_penalty=1.5,
        frequency_penalty=0.25,
        presence_penalty=0.75,
        seed=3,
        stop=("z",),
        includes_stop=True,
        ignore_eos=True,
        logprobs=2,
        prompt_logprobs=0,
    )


@pytest.mark.parametrize("adds", [True, False])
def test_special_tokens_are_added_unless_told(
    adds: bool, client: TestClient, engine: FakeEngine, library: FakeLibrary
) -> None:
    library.tokenizers["said"] = engine.tokenizer = beginning()

    ask(client, adapter="said", add_special_tokens=adds)

    assert engine.messages[-1].prompt.count(BOS) == adds


def test_nobody_pays_for_scores_that_nobody_is_told(
    client: TestClient, engine: FakeEngine
) -> None:
    ask(client)

    assert engine.messages[-1].params == DEFAULT


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("fields", "adapter"),
    [
        ({"parameters": {"adapter_id": "plain"}}, "plain"),
        ({"parameters": {"adapter_id": "other"}}, "said"),  # its alias
        ({"parameters": {"adapter_id": "plain"}, "model": "tiny"}, "plain"),
        ({"adapter": "plain"}, "plain"),
        ({"model": "plain"}, "plain"),
        ({"parameters": {"adapter_id": None}}, ""),
    ],
    ids=str,
)
def test_an_adapter_is_named_as_tgi_does_and_as_everywhere(
    path: str,
    fields: dict[str, Any],
    adapter: str,
    client: TestClient,
    engine: FakeEngine,
) -> None:
    answer = ask(client, path, **fields)

    assert engine.messages[-1].adapter == adapter
    assert answer.headers.get("x-adapter-id") == (adapter or None)


def test_merged_adapters_are_a_sum(client: TestClient, engine: FakeEngine) -> None:
    merged = {
        "ids": ["a", "b"],
        "weights": [0.75, 0.25],
        "density": 0.0,
        "merge_strategy": None,
        "majority_sign_method": None,
    }
    ask(client, parameters={"merged_adapters": merged})

    assert engine.messages[-1].adapter == "a*0.75+b*0.25"


MERGED = {"ids": ["a", "b"], "weights": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"unknown": 1}, "unknown"),
        ({"inputs": ""}, "inputs"),
        ({"parameters": {"unknown": 1}}, "unknown"),
        ({"parameters": {"typical_p": 0.5}}, "parameters.typical_p"),
        ({"parameters": {"watermark": True}}, "parameters.watermark"),
        ({"parameters": {"adapter_source": "hub"}}, "parameters.adapter_source"),
        ({"parameters": {"top_p": 2}}, "parameters.top_p"),
        ({"parameters": {"best_of": 2}}, "best_of"),
        ({"parameters": {"adapter_id": "a"}, "adapter": "b"}, "parameters"),
        (
            {"parameters": {"adapter_id": "a", "merged_adapters": MERGED}},
            "merged_adapters",
        ),
        (
            {"parameters": {"merged_adapters": {**MERGED, "merge_strategy": "ties"}}},
            "merge_strategy",
        ),
        ({"parameters": {"merged_adapters": {**MERGED, "weights": [1]}}}, "weights"),
        ({"parameters": {"grammar": {"type": "regex", "value": 5}}}, "grammar.value"),
        ({"parameters": {"grammar": {"type": "json", "value": 5}}}, "grammar.value"),
        (
            {"parameters": {"grammar": {"type": "json_schema", "value": {}}}},
            "grammar.value",
        ),
        (
            {
                "parameters": {
                    "grammar": {"type": "regex", "value": "a"},
                    "response_format": {"type": "json_object"},
                }
            },
            "response_format",
        ),
        ({"stream": True}, "stream"),
    ],
    ids=str,
)
def test_what_is_wrong_is_a_validation_error_that_names_the_field(
    fields: dict[str, Any], named: str, client: TestClient, engine: FakeEngine
) -> None:
    body = ask(client, code=422, **fields).json()

    assert body["error_type"] == "validation"
    assert named in body["error"]
    assert not engine.messages


def test_a_hook_is_told_the_adapter_that_the_parameters_name(
    engine: FakeEngine,
) -> None:
    told: list[str] = []

    def preprocess(adapter: str, body: Any) -> Any:
        told.append(adapter)
        return body

    engine.messages.clear()
    hooks = Hooks({"preprocess": preprocess})
    with TestClient(app_of(engine, hooks=hooks)) as client:
        ask(client, parameters={"adapter_id": "plain", "details": True})

    assert told == ["plain"]
    assert engine.messages[-1].adapter == "plain"


GRAMMAR = {"type": "json", "value": {"type": "object"}}


@pytest.mark.parametrize(
    ("said", "named"),
    [({"stop": ["a"]}, "stop"), ({"ignore_eos_token": True}, "ignore_eos_token")],
)
def test_what_contradicts_a_grammar_is_named_as_tgi_names_it(
    said: dict[str, Any], named: str, client: TestClient
) -> None:
    answer = ask(client, code=422, parameters={"grammar": GRAMMAR, **said})

    assert f"`parameters.{named}`" in answer.json()["error"]
