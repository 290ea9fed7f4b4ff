"""What an answer tells of its prompt's tokens: where, and at whose cost."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from litestar.testing import TestClient

from hotswap.api.openai.completion_shape import CompletionShape
from hotswap.engine.ticket import Piece
from tests.hotswap.api.scripted import (
    BYTES,
    USER,
    ScriptedEngine,
    ask,
    events,
    scored,
    scripted_client,
    tokens_of,
)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[TestClient, ScriptedEngine]]:
    engine = ScriptedEngine(tokenizer=BYTES)
    with scripted_client(engine) as client:
        yield client, engine


def test_the_prompt_is_scored_in_vllms_shape_where_it_stands(
    served: tuple[TestClient, ScriptedEngine],
) -> None:
    client, engine = served
    engine.answers = [tokens_of("z")]
    _, b = tokens_of("ab")

    answer = ask(client, "completions", prompt="ab", prompt_logprobs=1, max_tokens=0)
    chat = ask(client, "chat/completions", messages=USER, prompt_logprobs=0)

    (choice,) = answer["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("", "length")
    assert choice["prompt_logprobs"] == [
        None,
        {
            str(b): {"logprob": scored(b).logprob, "rank": 2, "decoded_token": "b"},
            str(b + 1): {"logprob": -1 / 8, "rank": 1, "decoded_token": "c"},
        },
    ]
    assert answer["usage"]["completion_tokens"] == 0
    assert len(chat["prompt_logprobs"]) == len(engine.messages[-1].prompt)


@pytest.mark.parametrize("streams", [False, True])
def test_a_prompts_tokens_are_told_beside_the_loop(
    streams: bool,
    served: tuple[TestClient, ScriptedEngine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client, engine = served
    engine.answers = [tokens_of("ab")]
    threads: list[int] = []
    told = CompletionShape.logprobs

    def watched(
        self: CompletionShape, job: int, pieces: Sequence[Piece]
    ) -> dict[str, Any] | None:
        threads.append(threading.get_ident())
        return told(self, job, pieces)

    monkeypatch.setattr(CompletionShape, "logprobs", watched)
    body: dict[str, Any] = {"prompt": "abc", "logprobs": 1}

    answer = events if streams else ask
    answer(client, "completions", **body)
    loop = threads.pop()
    threads.clear()
    answer(client, "completions", **body, echo=True)

    assert threads[0] != loop
    assert all(thread == loop for thread in threads[1:])


def test_more_scores_of_prompts_than_one_request_may_have_are_refused(
    served: tuple[TestClient, ScriptedEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = served
    monkeypatch.setattr("hotswap.api.shared.submission.MOST_SCORES", 18)
    body = {"prompt": ["abc", "def"], "n": 1, "adapter": "own", "max_tokens": 1}

    for top, status in [(2, 200), (3, 400)]:
        answer = client.post("/v1/completions", json={**body, "prompt_logprobs": top})
        assert answer.status_code == status, answer.text
    assert answer.json()["error"]["param"] == "prompt"
