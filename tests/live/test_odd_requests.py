"""Odd requests: fields at and beyond their borders, two or three at once.

Whatever a body says, the answer is no 5xx; a refusal names a field that the body has;
and a stream says what the whole answer says.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from hotswap import config
from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.echo import app
from tests.servers import Live

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 21, 64, 65, 1 << 31, 1 << 63, 1 << 80),
    *(0.0, -0.5, 1.0, 1.5, 1e-45, 1e-300, 1e308),
    *("", "a", "#", "\u0000", "<|im_end|>", "none", "auto", "required", "left"),
    *([], [1], [1 << 40], ["a"], [""], [["a"]], [None], ["a"] * 100),
    *({}, {"1": 1}, {"9": 100}, {"a": 1}, {"type": "json_object"}, {"type": "text"}),
    *({"include_usage": True}, {"choice": ["ab"]}, {"json": {}}, {"type": "object"}),
]
FIELDS = {
    "/v1/completions": (
        "n best_of stop stop_token_ids logit_bias allowed_token_ids bad_words seed "
        "max_tokens min_tokens temperature top_p top_k min_p presence_penalty "
        "frequency_penalty repetition_penalty logprobs prompt_logprobs echo stream "
        "stream_options response_format guided_json guided_regex guided_choice "
        "guided_grammar structured_outputs truncate_prompt_tokens truncation_side "
        "add_special_tokens return_token_ids ignore_eos include_stop_str_in_output "
        "skip_special_tokens priority deadline_s model adapter prompt suffix user"
    ),
    "/v1/chat/completions": (
        "n stop stop_token_ids logit_bias allowed_token_ids bad_words seed max_tokens "
        "max_completion_tokens min_tokens temperature repetition_penalty logprobs "
        "top_logprobs stream stream_options response_format guided_choice guided_regex "
        "tools tool_choice parallel_tool_calls documents chat_template "
        "chat_template_kwargs add_generation_prompt continue_final_message messages "
        "include_reasoning ignore_eos prompt_logprobs return_token_ids metadata"
    ),
    "/invocations": (
        "max_new_tokens do_sample stop_sequences stop stop_token_ids bad_words "
        "truncate n best_of top_n_tokens logprobs decoder_input_details details "
        "min_tokens return_full_text ignore_eos_token temperature top_k seed typical_p"
    ),
    "/generate": (
        "adapter_id merged_adapters best_of do_sample max_new_tokens stop truncate "
        "return_full_text ignore_eos_token details decoder_input_details grammar "
        "top_n_tokens return_k_alternatives response_format temperature top_p watermark"
    ),
    "/tokenize": "prompt messages add_special_tokens return_token_strs model",
    "/detokenize": "tokens model adapter adapters",
}
PLAIN: dict[str, dict[str, Any]] = {
    "/v1/completions": {"prompt": "abc", "max_tokens": 5},
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "abc"}],
        "max_tokens": 5,
    },
    "/invocations": {"inputs": "abc", "parameters": {"max_new_tokens": 5}},
    "/generate": {"inputs": "abc", "parameters": {"max_new_tokens": 5}},
    "/tokenize": {},
    "/detokenize": {"tokens": [1]},
}


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """With an adapter `cut`, whose folder has a stop string."""
    root = tmp_path_factory.mktemp("adapters")
    folder: Path = root / "cut"
    folder.mkdir()
    (folder / CONFIG_FILE).write_text('{"peft_type": "LORA"}')
    (folder / WEIGHTS_FILE).write_bytes(b"weights")
    (folder / SIDECAR_FILE).write_text('stop = ["#"]')
    told = {"model": {"path": "echo"}, "adapters": {"directory": str(root)}}
    with Live(app.build(config.load(None, told))) as live, live.client() as client:
        yield client


def odd_bodies(path: str, count: int) -> Iterator[dict[str, Any]]:
    """The same ones in every run."""
    chance, names = random.Random(path), FIELDS[path].split()
    for _ in range(count):
        body: dict[str, Any] = json.loads(json.dumps(PLAIN[path]))
        place = body.get("parameters", body)
        for name in chance.sample(names, chance.randint(1, 3)):
            place[name] = chance.choice(ODD)
        yield body


def named(body: dict[str, Any]) -> set[str]:
    """Its fields, and the one that it may lack."""
    return {*body, *body.get("parameters", {}), "prompt"}


@pytest.mark.parametrize("path", FIELDS)
def test_an_odd_body_is_answered_or_a_field_of_it_is_named(
    path: str, echo: httpx.Client
) -> None:
    for body in odd_bodies(path, 150):
        answer = echo.post(path, json=body)

        assert answer.status_code < 500, (body, answer.text)
        if answer.status_code in (400, 422):
            assert any(name in answer.text for name in named(body)), (body, answer.text)


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/chat/completions"])
def test_a_stream_says_what_the_whole_answer_says(
    path: str, echo: httpx.Client
) -> None:
    for body in odd_bodies(path, 60):
        body |= {"stream": False}
        whole = echo.post(path, json=body)
        streamed = echo.post(path, json=body | {"stream": True})
        if whole.status_code != 200 or streamed.status_code != 200:
            continue

        found: dict[int, str] = {}
        for line in streamed.text.split("\n\n"):
            if line in ("", "data: [DONE]"):
                continue
            for choice in json.loads(line.removeprefix("data: "))["choices"]:
                said = choice.get("text") or choice.get("delta", {}).get("content")
                found.setdefault(choice["index"], "")
                found[choice["index"]] += said or ""
        assert found == {
            choice["index"]: choice.get("text") or choice["message"]["content"] or ""
            for choice in whole.json()["choices"]
            if "text" in choice or "message" in choice
        }, body


def test_a_folders_stop_contradicts_no_grammar_of_tgis(echo: httpx.Client) -> None:
    grammar = {"type": "json", "value": {"type": "object", "required": ["#"]}}
    body = {"inputs": "a", "parameters": {"adapter_id": "cut", "grammar": grammar}}
    answer = echo.post("/generate", json=body)

    assert answer.status_code == 200, answer.text
    assert "#" in json.loads(answer.json()["generated_text"])


def test_a_token_beyond_all_numbers_is_no_fault_of_the_servers(
    echo: httpx.Client,
) -> None:
    body = PLAIN["/v1/completions"] | {
        "stop_token_ids": [1 << 40],
        "response_format": {"type": "json_object"},
    }
    answer = echo.post("/v1/completions", json=body)

    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "stop_token_ids"


def test_no_ban_breaks_a_grammar(echo: httpx.Client) -> None:
    body = PLAIN["/v1/completions"] | {
        "guided_choice": ["yes"],
        "allowed_token_ids": [5],
        "min_tokens": 5,
    }
    answer = echo.post("/v1/completions", json=body)

    assert answer.json()["choices"][0]["text"] == "yes"
