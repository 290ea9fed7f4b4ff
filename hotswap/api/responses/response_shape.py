"""Response shape: the response around its items, whole and as events.

    response.created, response.in_progress
    ... the events of its items
    response.completed, .incomplete or .failed
"""

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from hotswap.api.openai.chat_output import ChatOutput
from hotswap.api.openai.logprobs import of_chat
from hotswap.api.responses.output_items import Event, OutputItems
from hotswap.api.responses.schemas import Responses
from hotswap.api.shared.running import Running
from hotswap.engine.ticket import Piece
from hotswap.sampling_params import SamplingParams


class ResponsesShape:
    """One response: of the one job that answers."""

    def __init__(self, body: Responses, model: str, params: SamplingParams) -> None:
        """`model`: what answers. `params`: what it is sampled by, defaults filled."""
        self._body, self._params = body, params
        self._items = OutputItems()
        self._events = 0
        self._tokens = 0
        self._reasoned = 0  # of the tokens, those before the answer itself
        self._head = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
            **_echoed(body, params),
        }

    def begin(self, running: Running, output: Callable[[], ChatOutput]) -> None:
        """Its job is accepted. `output`: how its text is read."""
        self._running, self._output = running, output()

    def begun(self) -> Iterator[Event]:
        for kind in ("created", "in_progress"):
            yield self._told(f"response.{kind}", self._response("in_progress"))

    def piece(self, piece: Piece) -> Iterator[Event]:
        """The events of a piece; with the last one all that is left."""
        self._tokens += piece.token is not None
        is_last = piece.finish is not None
        deltas = self._output.push(piece.text, is_last=is_last)
        if any(delta.reasoning for delta in deltas):
            self._reasoned = self._tokens
        for event in self._items.push(deltas, self._logprobs(piece)):
            yield self._numbered(event)
        if is_last:
            is_cut = piece.finish == "length"
            for event in self._items.finish(is_cut=is_cut):
                yield self._numbered(event)
            status = "incomplete" if is_cut else "completed"
            yield self._told(f"response.{status}", self._response(status))

    def failed(self, message: str) -> Event:
        """The last event: the status has gone out already."""
        error = {"code": "server_error", "message": message}
        response = {**self._response("failed"), "error": error}
        return self._told("response.failed", response)

    def whole(self) -> dict[str, Any]:
        """After the last piece."""
        return self._last

    def _logprobs(self, piece: Piece) -> list[Any]:
        if piece.scored is None:
            return []
        found = of_chat([piece], self._running.tokenizers[0])
        return list(found["content"]) if found else []

    def _response(self, status: str) -> dict[str, Any]:
        is_over = status in ("completed", "incomplete")
        cut = {"reason": "max_output_tokens"} if status == "incomplete" else None
        self._last = {
            **self._head,
            "status": status,
            "output": [*self._items.items],
            "error": None,
            "incomplete_details": cut,
            "usage": self._usage() if is_over else None,
        }
        return self._last

    def _usage(self) -> dict[str, Any]:
        prompt = self._running.prompt_tokens
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": self._tokens,
            "output_tokens_details": {"reasoning_tokens": self._reasoned},
            "total_tokens": prompt + self._tokens,
        }

    def _told(self, kind: str, response: dict[str, Any]) -> Event:
        return self._numbered({"type": kind, "response": response})

    def _numbered(self, event: Event) -> Event:
        self._events += 1
        return {**event, "sequence_number": self._events - 1}


def _echoed(body: Responses, params: SamplingParams) -> dict[str, Any]:
    """What of the request the response repeats."""
    said = msgspec.to_builtins(body)
    asked = body.text.format
    kind = {"type": "text"} if asked is None else _without_none(said["text"]["format"])
    return {
        "background": False,
        "instructions": body.instructions,
        "max_output_tokens": body.max_output_tokens,
        "metadata": body.metadata or {},
        "parallel_tool_calls": body.parallel_tool_calls,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": params.temperature,
        "text": {"format": kind},
        "tool_choice": said["tool_choice"] or "auto",
        "tools": [{**tool, "strict": bool(tool["strict"])} for tool in said["tools"] or []],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": params.top_p,
        "truncation": "disabled",
        "user": body.user,
    }


def _without_none(value: dict[str, Any]) -> dict[str, Any]:
    return {key: each for key, each in value.items() if each is not None}


def event(said: Event) -> bytes:
    """A server-sent event, with its type as its name."""
    kind = str(said["type"]).encode()
    return b"event: " + kind + b"\ndata: " + msgspec.json.encode(said) + b"\n\n"
