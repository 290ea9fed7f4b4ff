"""An engine that says what the test tells it to, in the words of a byte tokenizer.

The adapter `own` brings the tokenizer, in which a character beyond ASCII takes several
tokens.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from litestar.testing import TestClient

from hotswap.engine.messages import Submit
from hotswap.engine.text import Detokenizer, StopStrings
from hotswap.engine.ticket import Accepted, Piece
from hotswap.model.network.rows import Scored
from hotswap.tokenizer import Tokenizer
from scheduler import Mode
from tests import tiny
from tests.fake_server import FakeEngine, FakeLibrary, app_of

BYTES = Tokenizer(tiny.tokenizer())
USER = [{"role": "user", "content": "Ahoy"}]


def tokens_of(text: str) -> list[int]:
    return list(BYTES.inner(text, add_special_tokens=False).input_ids)


def scored(token: int, top: int = 0) -> Scored:
    """A score that tells whose it is; the likeliest are the ids behind."""
    likeliest = tuple(((token + n) % 256, -n / 8) for n in range(1, top + 1))
    return Scored(token, -(token + 1) / 64, rank=top + 1, top=likeliest)


def pieces_of(tokens: Sequence[int], message: Submit) -> list[Piece]:
    """As the engine makes them, of an answer that its `max_tokens` ends."""
    params = message.params
    text, stops = Detokenizer(BYTES), StopStrings(params.stop)
    prompt = tuple(
        scored(token, params.prompt_logprobs or 0) for token in message.prompt[1:]
    )
    asked = params.prompt_logprobs is not None
    if params.max_tokens == 0:
        piece = Piece(
            token=None, text="", mode=Mode.MERGED, finish="length", prompt=prompt
        )
        return [piece]
    pieces = []
    for place, token in enumerate(tokens):
        said = stops.push(text.push(token))
        met = stops.met is not None
        is_last = met or place == len(tokens) - 1
        if is_last and not met:
            said += stops.push(text.flush()) + stops.flush()
        piece = Piece(
            token=token,
            text=said,
            mode=Mode.MERGED,
            scored=None if params.logprobs is None else scored(token, params.logprobs),
            prompt=prompt if asked and place == 0 else (),
            finish=("stop" if met else "length") if is_last else None,
            stop_reason=params.stop[0] if met else None,
        )
        pieces.append(piece)
        if met:
            break
    return pieces


@dataclass
class ScriptedEngine(FakeEngine):
    """Answers with `answers` in turn, each in tokens; of their prompts it has found
    `cached` tokens, in turn."""

    answers: Sequence[Sequence[int]] = field(default_factory=list)
    cached: Sequence[int] = (0,)

    def post(self, message: Submit) -> None:
        number = len(self.messages)
        tokens = self.answers[number % len(self.answers)]
        cached = self.cached[number % len(self.cached)]
        self.messages.append(message)
        message.ticket.deliver(Accepted("g"))
        for piece in pieces_of(tokens, message):
            message.ticket.deliver(replace(piece, cached_tokens=cached))


def scripted_client(
    engine: ScriptedEngine, library: FakeLibrary | None = None
) -> TestClient:
    """Not entered yet."""
    known = library or FakeLibrary(tokenizers={"own": BYTES})
    return TestClient(app_of(engine, known))


def ask(client: TestClient, path: str, **body: Any) -> dict[str, Any]:
    """The answer at once."""
    engine_body = {"adapter": "own", **body}
    answer = client.post(f"/v1/{path}", json=engine_body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def events(client: TestClient, path: str, **body: Any) -> list[dict[str, Any]]:
    """The answer as a stream."""
    engine_body = {"adapter": "own", "stream": True, **body}
    answer = client.post(f"/v1/{path}", json=engine_body)
    assert answer.status_code == 200, answer.text
    *lines, done, end = answer.text.split("\n\n")
    assert (done, end) == ("data: [DONE]", "")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def joined(stream: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The choices that a stream's events make."""
    choices: dict[int, dict[str, Any]] = {}
    for event in stream:
        for part in event["choices"]:
            whole = choices.setdefault(part["index"], {})
            for name, value in part.items():
                whole[name] = _added(whole.get(name), value)
    return [choices[index] for index in sorted(choices)]


def _added(before: Any, value: Any) -> Any:
    if before is None or value is None or isinstance(value, int):
        return value if before is None else before if value is None else value
    if isinstance(value, dict):
        return {name: _added(before.get(name), value[name]) for name in value}
    return before + value
