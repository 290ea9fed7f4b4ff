"""Output items: one answer's text, as it comes -> items of a response, and the events
that tell of them.

The whole answer is what the events add up to: both are made here, once.
"""

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hotswap.api.openai.deltas import CallDelta, Delta

Event = dict[str, Any]


@dataclass(slots=True)
class _Open:
    """The item that is being written. `grown`: its text or arguments so far."""

    place: int
    kind: str
    item: dict[str, Any]
    call: int | None = None
    grown: str = ""
    logprobs: list[Any] = field(default_factory=list)

    @property
    def at(self) -> dict[str, Any]:
        return {"item_id": self.item["id"], "output_index": self.place}

    @property
    def at_part(self) -> dict[str, Any]:
        return {**self.at, "content_index": 0}


class OutputItems:
    """`items`: those that are whole; all of them once `finish` was called."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._open: _Open | None = None

    def push(self, deltas: Sequence[Delta], logprobs: Sequence[Any]) -> Iterator[Event]:
        """`logprobs`: of the tokens of this piece, told with the message's text."""
        for delta in deltas:
            if delta.reasoning:
                yield from self._opened("reasoning", _reasoning)
                yield self._grow("response.reasoning_text.delta", delta.reasoning)
            if delta.content:
                yield from self._opened("message", _message)
                said = self._grow("response.output_text.delta", delta.content)
                yield {**said, "logprobs": [*logprobs]}
                assert self._open is not None
                self._open.logprobs += logprobs
                logprobs = ()
            if delta.call is not None:
                yield from self._call(delta.call)

    def finish(self, *, is_cut: bool) -> Iterator[Event]:
        """`is_cut`: the answer was not at its end. One that says nothing is a message
        all the same."""
        if not self.items and self._open is None:
            yield from self._opened("message", _message)
        yield from self._close("incomplete" if is_cut else "completed")

    def _call(self, call: CallDelta) -> Iterator[Event]:
        if self._open is None or self._open.call != call.index:
            yield from self._opened(
                "function_call", lambda: _function_call(call), call.index
            )
        if call.arguments:
            kind = "response.function_call_arguments.delta"
            yield self._grow(kind, call.arguments)

    def _opened(
        self, kind: str, make: Callable[[], dict[str, Any]], call: int | None = None
    ) -> Iterator[Event]:
        """Nothing if an item of the kind is being written already."""
        now = self._open
        if now is not None and now.kind == kind and now.call == call:
            return
        yield from self._close("completed")
        opened = self._open = _Open(len(self.items), kind, make(), call)
        yield {
            "type": "response.output_item.added",
            "output_index": opened.place,
            "item": opened.item,
        }
        if kind == "message":
            part = _output_text("", [])
            yield {
                "type": "response.content_part.added",
                **opened.at_part,
                "part": part,
            }

    def _grow(self, kind: str, text: str) -> Event:
        now = self._open
        assert now is not None, "nothing is being written"
        now.grown += text
        at = now.at if now.kind == "function_call" else now.at_part
        return {"type": kind, **at, "delta": text}

    def _close(self, status: str) -> Iterator[Event]:
        now, self._open = self._open, None
        if now is None:
            return
        whole = {**now.item, "status": status}
        match now.kind:
            case "message":
                yield from _text_done(now)
                whole["content"] = [_output_text(now.grown, now.logprobs)]
            case "reasoning":
                part = {"type": "reasoning_text", "text": now.grown}
                done = "response.reasoning_text.done"
                yield {"type": done, **now.at_part, "text": now.grown}
                whole["content"] = [part]
            case _:
                whole["arguments"] = now.grown
                yield {
                    "type": "response.function_call_arguments.done",
                    **now.at,
                    "name": whole["name"],
                    "arguments": now.grown,
                }
        self.items.append(whole)
        place = {"output_index": now.place, "item": whole}
        yield {"type": "response.output_item.done", **place}


def _text_done(now: _Open) -> Iterator[Event]:
    told = {"text": now.grown, "logprobs": now.logprobs}
    yield {"type": "response.output_text.done", **now.at_part, **told}
    part = _output_text(now.grown, now.logprobs)
    yield {"type": "response.content_part.done", **now.at_part, "part": part}


def _output_text(text: str, logprobs: list[Any]) -> dict[str, Any]:
    return {
        "type": "output_text",
        "text": text,
        "annotations": [],
        "logprobs": logprobs,
    }


def _message() -> dict[str, Any]:
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }


def _reasoning() -> dict[str, Any]:
    return {
        "type": "reasoning",
        "id": f"rs_{uuid.uuid4().hex}",
        "status": "in_progress",
        "summary": [],
        "content": [],
    }


def _function_call(call: CallDelta) -> dict[str, Any]:
    return {
        "type": "function_call",
        "id": f"fc_{uuid.uuid4().hex}",
        "call_id": call.id,
        "name": call.name,
        "arguments": "",
        "status": "in_progress",
    }
