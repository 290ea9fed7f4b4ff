"""Output items: one answer's text, as it comes -> items of a response, and the events
that tell of them.

The whole answer is what the events add up to: both are made here, once.

    response.output_item.added
      response.content_part.added, .done            of a message and of reasoning
        response.output_text.delta, .done           or reasoning_text
      response.function_call_arguments.delta, .done
    response.output_item.done
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hotswap.api.openai.deltas import CallDelta, Delta

Event = dict[str, Any]
Kind = Literal["message", "reasoning", "function_call"]

_PREFIXES = {"message": "msg_", "reasoning": "rs_", "function_call": "fc_"}
_GROWS = {
    "message": "response.output_text",
    "reasoning": "response.reasoning_text",
    "function_call": "response.function_call_arguments",
}


@dataclass(slots=True)
class _Open:
    """The item that is being written. `item`: as it was when it was begun. `call`: its
    number, if it is one. `grown`: its text or arguments so far."""

    place: int
    kind: Kind
    item: dict[str, Any]
    call: int | None = None
    grown: str = ""
    logprobs: list[Any] = field(default_factory=list)

    @property
    def at(self) -> dict[str, Any]:
        """Where an event belongs."""
        at = {"item_id": self.item["id"], "output_index": self.place}
        return at if self.kind == "function_call" else {**at, "content_index": 0}

    @property
    def part(self) -> dict[str, Any]:
        """The one part of its content, so far."""
        if self.kind == "reasoning":
            return {"type": "reasoning_text", "text": self.grown}
        return {
            "type": "output_text",
            "text": self.grown,
            "annotations": [],
            "logprobs": [*self.logprobs],
        }


class OutputItems:
    """`items`: those that are whole; all of them once `finish` was called."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self._open: _Open | None = None
        self._untold: list[Any] = []  # log-probabilities of a message's tokens

    def push(self, deltas: Sequence[Delta], logprobs: Sequence[Any]) -> Iterator[Event]:
        """What a piece adds. `logprobs`: of its tokens; told with the message's text,
        as soon as there is some. Those of reasoning and of calls are not told."""
        self._untold += logprobs
        for delta in deltas:
            if delta.reasoning:
                yield from self._opened("reasoning")
                yield self._grow(delta.reasoning)
            if delta.content:
                yield from self._opened("message")
                yield self._grow(delta.content)
            if delta.call is not None:
                yield from self._call(delta.call)

    def finish(self, *, is_cut: bool) -> Iterator[Event]:
        """`is_cut`: the answer was not at its end. One that says nothing is a message
        all the same."""
        if not self.items and self._open is None:
            yield from self._opened("message")
        if self._open is not None and self._open.kind == "message" and self._untold:
            yield self._grow("")  # a token that ends an answer has no text
        yield from self._close("incomplete" if is_cut else "completed")

    def _call(self, call: CallDelta) -> Iterator[Event]:
        yield from self._opened("function_call", call)
        if call.arguments:
            yield self._grow(call.arguments)

    def _opened(self, kind: Kind, call: CallDelta | None = None) -> Iterator[Event]:
        """Nothing if it is being written already."""
        now, index = self._open, None if call is None else call.index
        if now is not None and (now.kind, now.call) == (kind, index):
            return
        yield from self._close("completed")
        opened = _Open(len(self.items), kind, _begun(kind, call), index)
        self._open = opened
        added = {"output_index": opened.place, "item": opened.item}
        yield {"type": "response.output_item.added", **added}
        if kind != "function_call":
            part = {**opened.at, "part": opened.part}
            yield {"type": "response.content_part.added", **part}

    def _grow(self, text: str) -> Event:
        now, told = self._open, self._untold
        assert now is not None, "nothing is being written"
        self._untold = []
        now.grown += text
        grown = {"type": f"{_GROWS[now.kind]}.delta", **now.at, "delta": text}
        if now.kind != "message":
            return grown
        now.logprobs += told
        return {**grown, "logprobs": told}

    def _close(self, status: str) -> Iterator[Event]:
        now, self._open = self._open, None
        if now is None:
            return
        done = {"type": f"{_GROWS[now.kind]}.done", **now.at}
        if now.kind == "function_call":
            said = {"name": now.item["name"], "arguments": now.grown}
            yield {**done, **said}
            whole = {**now.item, "status": status, **said}
        else:
            part = now.part
            yield {**done, **{name: part[name] for name in _TOLD if name in part}}
            yield {"type": "response.content_part.done", **now.at, "part": part}
            whole = {**now.item, "status": status, "content": [part]}
        self.items.append(whole)
        place = {"output_index": now.place, "item": whole}
        yield {"type": "response.output_item.done", **place}


_TOLD = ("text", "logprobs")


def _begun(kind: Kind, call: CallDelta | None) -> dict[str, Any]:
    begun: Event = {"type": kind, "id": _PREFIXES[kind] + uuid.uuid4().hex}
    if call is not None:
        begun |= {"call_id": call.id, "name": call.name, "arguments": ""}
    elif kind == "message":
        begun |= {"role": "assistant", "content": []}
    else:
        begun |= {"summary": [], "content": []}
    return {**begun, "status": "in_progress"}
