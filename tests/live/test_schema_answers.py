"""/schema: what routes answer is what it says that they answer, and no more."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.hotswap.api.chat.speaking import HERMES, TOOLS, USER, speaking
from tests.servers import Live

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"
TEXT: dict[str, Any] = {"prompt": "hello", "max_tokens": 3, "temperature": 0}
TALK: dict[str, Any] = {"messages": [USER], "max_tokens": 3}
SCORED: dict[str, Any] = {"prompt_logprobs": 1, "return_token_ids": True}
DETAILS: dict[str, Any] = {
    "max_new_tokens": 3,
    "details": True,
    "decoder_input_details": True,
    "top_n_tokens": 2,
    "do_sample": True,
}
LORAX = {"best_of": 2, "return_k_alternatives": 1, "seed": 1}
# The path as it is described, if it is another; and a body, or none: it is read.
CASES: list[tuple[str, str, dict[str, Any] | None]] = [
    (COMPLETIONS, "", TEXT),
    (COMPLETIONS, "", {**TEXT, **SCORED, "logprobs": 2, "echo": True, "n": 2}),
    (COMPLETIONS, "", {**TEXT, "max_tokens": 0, "prompt_logprobs": 0}),
    (COMPLETIONS, "", {**TEXT, "stop_token_ids": [*range(4, 200)], "adapter": "a1"}),
    (CHAT, "", TALK),
    (CHAT, "", {**TALK, **SCORED, "logprobs": True, "top_logprobs": 2}),
    ("/invocations", "", {"inputs": "hello"}),
    ("/invocations", "", {"inputs": ["a", "b"], "parameters": {**DETAILS, "n": 2}}),
    ("/predictions/tiny", "/predictions/{model}", {"inputs": "hello"}),
    ("/invocations", "", TALK),
    ("/endpoints/tiny/invocations", "/endpoints/{model}/invocations", TEXT),
    ("/generate", "", {"inputs": "hello"}),
    ("/", "", {"inputs": "hello", "parameters": {**DETAILS, **LORAX}}),
    ("/tokenize", "", {"prompt": "hello", "return_token_strs": True}),
    ("/tokenize", "", {"inputs": "hello"}),
    ("/detokenize", "", {"tokens": [5, 6]}),
    ("/v1/adapters/validate", "", {"src": "a1"}),
    ("/v1/adapters/validate", "", {"src": "none"}),
    ("/v1/adapters/a1/pin", "/v1/adapters/{name}/pin", {}),
    ("/v1/models", "", None),
    ("/v1/models/a1", "/v1/models/{model}", None),
    ("/v1/adapters", "", None),
    ("/v1/adapters/a1", "/v1/adapters/{name}", None),
    ("/info", "", None),
    ("/version", "", None),
    ("/tokenizer_info", "", None),
]


def closed(schema: Any) -> Any:
    """As JSON Schema says it, and with nothing in an object that is not said of it."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: closed(each) for key, each in schema.items() if key != "nullable"}
    if "properties" in made and "type" in made:
        made["additionalProperties"] = False
    return {"anyOf": [made, {"type": "null"}]} if schema.get("nullable") else made


def check(document: dict[str, Any], method: str, path: str, answer: Any) -> None:
    good = document["paths"][path][method]["responses"]
    (said,) = (good[code] for code in good if code != "default")
    schema = closed(said["content"]["application/json"]["schema"])
    assert schema, path
    whole = {**schema, "components": closed(document["components"])}
    Draft202012Validator(whole).validate(answer)


@pytest.fixture(scope="module")
def document(live: Live) -> dict[str, Any]:
    with live.client() as client:
        found: dict[str, Any] = client.get("/schema/openapi.json").json()
    return found


@pytest.mark.parametrize(("path", "described", "body"), CASES, ids=str)
def test_an_answer_is_as_it_is_described(
    path: str,
    described: str,
    body: dict[str, Any] | None,
    live: Live,
    document: dict[str, Any],
) -> None:
    method = "get" if body is None else "post"
    with live.client() as client:
        answer = client.request(method, path, json=body)

    assert answer.is_success, answer.text
    check(document, method, described or path, answer.json())


def test_a_message_that_thinks_and_calls_is_as_it_is_described(
    document: dict[str, Any],
) -> None:
    call = '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>'
    with speaking(HERMES, reasoning_parser="qwen3") as server:
        server.says(f"<think>hm</think>\n\n{call}")
        answer = server.http.post(CHAT, json={"messages": [USER], "tools": TOOLS})

    found = answer.json()
    assert {*found["choices"][0]["message"]} >= {"reasoning", "tool_calls"}
    check(document, "post", CHAT, found)


def test_what_is_not_described_is_noticed(document: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="'new' was unexpected"):
        check(document, "get", "/version", {"version": "1", "new": 1})
