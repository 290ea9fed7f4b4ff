"""Response shape: the response around its items, whole and as events.

response.created, response.in_progress
... the events of its items
response.completed, .incomplete or .failed
"""

import time
import uuid
from collections.abc import Iterator
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
    """One response, of the one job that answers."""

    def __init__(
        self,
        body: Responses,
        model: str,
        params: SamplingParams,
        running: Running,
        output: ChatOutput,
    ) -> None:
        """`model`: what answers. `params`: what it is sampled by, defaults filled.
        `output`: what reads its text."""
        self._running, self._output = running, output
        self._top = body.top_logprobs or 0
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
        self.whole: dict[str, Any] = self._response("in_progress")

    @property
    def has_begun(self) -> bool:
        """Whether an event has been made."""
        return self._events > 0

    def events(self, piece: Piece) -> Iterator[Event]:
        """Of a piece: with the first one those that begin, with the last one all that
        is left. Then `whole` is the answer that is sent at once."""
        if not self.has_begun:
            for kind in ("created", "in_progress"):
                yield self._told(f"response.{kind}", self.whole)
        self._tokens += piece.token is not None
        is_last = piece.finish is not None
        deltas = self._output.push(piece.text, is_last=is_last)
        if any(delta.reasoning for delta in deltas):
            self._reasoned = self._tokens
        for event in self._items.push(deltas, self._logprobs(piece)):
            yield self._numbered(event)
        if not is_last:
            return
        is_cut = piece.finish == "length"
        for event in self._items.finish(is_cut=is_cut):
            yield self._numbered(event)
        status = "incomplete" if is_cut else "completed"
        self.whole = self._response(status)
        yield self._told(f"response.{status}", self.whole)

    def failed(self, message: str) -> Event:
        """The last event, where the status of HTTP has gone out already."""
        error = {"code": "server_error", "message": message}
        response = {**self._response("failed"), "error": error}
        return self._told("response.failed", response)

    def _logprobs(self, piece: Piece) -> list[Any]:
        tokenizer = self._running.tokenizers[0]
        found = of_chat([piece], tokenizer, top=self._top)
        return list(found["content"]) if found else []

    def _response(self, status: str) -> dict[str, Any]:
        is_cut, is_whole = status == "incomplete", status == "completed"
        return {
            **self._head,
            "status": status,
            "completed_at": int(time.time()) if is_whole else None,
            "output": [*self._items.items],
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "usage": self._usage() if is_cut or is_whole else None,
        }

    def _usage(self) -> dict[str, Any]:
        prompt, cached = self._running.prompt_tokens, self._running.cached_tokens
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
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
    """What of the request a response repeats, and what this server does in any case."""
    said = msgspec.to_builtins(body)
    asked = said["text"]["format"] or {"type": "text"}
    if asked["type"] == "json_schema":
        asked["name"] = asked["name"] or ""
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
        "text": {"format": {k: v for k, v in asked.items() if v is not None}},
        "tool_choice": said["tool_choice"] or "auto",
        "tools": said["tools"] or [],
        "top_logprobs": body.top_logprobs or 0,
        "top_p": params.top_p,
        "truncation": "disabled",
        "user": body.user,
    }


def sent(event: Event) -> bytes:
    """As a server-sent event, with its type as its name."""
    kind = str(event["type"]).encode()
    return b"event: " + kind + b"\ndata: " + msgspec.json.encode(event) + b"\n\n"
