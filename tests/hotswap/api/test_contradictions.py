"""What cannot be said at once, and what no token or number is: 400 by the field."""

from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.tokenizer import Tokenizer
from tests import tiny
from tests.fake_server import BODIES, FakeEngine
from tests.hotswap.api.conftest import Shared

BOTH = ["/v1/completions", "/v1/chat/completions"]
COMPLETIONS, CHAT = BOTH
USAGE = {"include_usage": True}
CASES: list[tuple[str, dict[str, Any], str]] = [
    *((path, {"max_tokens": 0}, "max_tokens") for path in BOTH),
    *(
        (path, {"max_completion_tokens": 0, "max_tokens": 5}, "max_completion_tokens")
        for path in BOTH
    ),
    *((path, {"min_tokens": 3, "max_tokens": 2}, "min_tokens") for path in BOTH),
    *(
        (path, {"stream": True, "prompt_logprobs": 0}, "prompt_logprobs")
        for path in BOTH
    ),
    *((path, {"stream_options": USAGE}, "stream_options") for path in BOTH),
    *(
        (
            path,
            {"stream": True, "stream_options": {"continuous_usage_stats": True}},
            "stream_options.continuous_usage_stats",
        )
        for path in BOTH
    ),
    *((path, {"truncate_prompt_tokens": 0}, "truncate_prompt_tokens") for path in BOTH),
    *((path, {"truncation_side": "left"}, "truncation_side") for path in BOTH),
    *(
        (
            path,
            {"skip_special_tokens": False, "spaces_between_special_tokens": False},
            "spaces_between_special_tokens",
        )
        for path in BOTH
    ),
    (COMPLETIONS, {"min_tokens": 17}, "min_tokens"),
    (COMPLETIONS, {"n": 3, "best_of": 2}, "best_of"),
    (COMPLETIONS, {"best_of": 2, "stream": True}, "best_of"),
    (CHAT, {"top_logprobs": 1}, "top_logprobs"),
    (CHAT, {"echo": True}, "echo"),
    (CHAT, {"best_of": 2}, "best_of"),
]
NO_PENALTIES: list[Any] = [-2.1, 2.1, "1", True, []]
NO_IDS: list[Any] = [[], [-1], ["1"], 5]
NO_WORDS: list[Any] = ["x", [""], ["x" * 101], ["x"] * 65, [1]]
WRONG: list[tuple[str, Any]] = [
    *(("presence_penalty", value) for value in NO_PENALTIES),
    *(("frequency_penalty", value) for value in (-2.1, 2.1, "1")),
    *(("repetition_penalty", value) for value in (0, -1, 101)),
    *(("min_p", value) for value in (-0.1, 1.1)),
    *(("min_tokens", value) for value in (-1, 1.5)),
    *(("prompt_logprobs", value) for value in (-1, 21, True)),
    *(("allowed_token_ids", value) for value in NO_IDS),
    *(("bad_words", value) for value in NO_WORDS),
    *(("truncate_prompt_tokens", value) for value in (-2, 1.5, "1")),
    *(("truncation_side", value) for value in ("middle", 1)),
    *(("logit_bias", {key: 1}) for key in ("x", "-1", "1.0", "", "٣", "9" * 30)),
    *(("logit_bias", {"1": value}) for value in (-100.1, 100.1, "1")),
    *(("n", value) for value in (0, 65)),
]


@pytest.mark.parametrize(("path", "said", "field"), CASES, ids=str)
def test_a_contradiction_names_the_field_that_has_to_go(
    path: str, said: dict[str, Any], field: str, client: TestClient, engine: FakeEngine
) -> None:
    answer = client.post(path, json={**BODIES[path], **said})

    assert (answer.status_code, answer.json()["error"]["param"]) == (400, field)
    assert not engine.messages


@pytest.mark.parametrize("path", BOTH)
def test_what_asks_for_nothing_contradicts_nothing(
    path: str, client: TestClient
) -> None:
    silent = {"include_usage": False, "continuous_usage_stats": False}
    passing: list[dict[str, Any]] = [
        {"stream_options": silent},
        {"spaces_between_special_tokens": False},
        {"n": 2, "best_of": 2 if path == COMPLETIONS else 1, "stream": True},
        {"min_tokens": 5, "max_tokens": 5},
        {"max_tokens": 0, "prompt_logprobs": 0},
        {"logit_bias": {}, "bad_words": []},
    ]
    for said in passing:
        assert client.post(path, json={**BODIES[path], **said}).status_code == 200, said


@pytest.mark.parametrize(("field", "value"), WRONG, ids=str)
def test_what_is_out_of_range_or_of_another_kind_names_its_field(
    field: str, value: Any, client: TestClient, engine: FakeEngine
) -> None:
    for path in BOTH:
        answer = client.post(path, json={**BODIES[path], field: value})

        assert answer.status_code == 400, answer.text
        named = answer.json()["error"]["param"]
        assert named.partition("[")[0] == field
    assert not engine.messages


@pytest.mark.parametrize(
    ("path", "field"), [(COMPLETIONS, "logprobs"), (CHAT, "top_logprobs")]
)
def test_at_most_twenty_likeliest_tokens_are_told(
    path: str, field: str, client: TestClient
) -> None:
    said = {"logprobs": True} if path == CHAT else {}
    for value, status in [(0, 200), (20, 200), (21, 400), (-1, 400)]:
        body = {**BODIES[path], **said, field: value}
        assert client.post(path, json=body).status_code == status


@pytest.mark.parametrize(
    ("field", "known", "unknown"),
    [
        ("stop_token_ids", [259], [3, 260]),
        ("allowed_token_ids", [259], [3, 260]),
        ("logit_bias", {"259": 1}, {"3": 1, "260": 1}),
        ("logit_bias", {"259": 1}, {"9" * 18: 1}),
    ],
)
def test_a_token_that_the_model_does_not_have_names_its_field(
    field: str, known: Any, unknown: Any, served: tuple[TestClient, Shared]
) -> None:
    client, shared = served
    shared.reset()
    own = Tokenizer(tiny.tokenizer())
    shared.library.tokenizers["own"] = shared.engine.tokenizer = own
    body = {"prompt": "abc", "adapter": "own"}

    good = client.post("/v1/completions", json={**body, field: known})
    bad = client.post("/v1/completions", json={**body, field: unknown})

    shared.reset()
    assert good.status_code == 200, good.text
    assert (bad.status_code, bad.json()["error"]["param"]) == (400, field)
