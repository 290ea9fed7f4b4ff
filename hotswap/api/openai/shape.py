"""OpenAI's shape: envelopes, chunks, events and errors, of completions and chat."""

import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from hotswap.api.openai.schemas import OpenAIBody
from hotswap.api.shared.job_request import JobRequest
from hotswap.api.shared.running import Answer, Running
from hotswap.api.shared.server_state import ServerState
from hotswap.engine.ticket import Finish, Piece
from hotswap.errors import ClientError

# `type` of an error by its code: what OpenAI's client raises for it, and vLLM writes.
# The only table; others are a BadRequestError or an InternalServerError.
TYPES = {
    400: "BadRequestError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
# A token or a string that ends an answer is one thing to OpenAI's clients.
_FINISH: dict[Finish | None, str | None] = {
    "eos": "stop",
    "stop": "stop",
    "length": "length",
    None: None,
}


def error_body(error: Exception, status: int) -> dict[str, Any]:
    """OpenAI's envelope, with vLLM's integer `code`."""
    other = "BadRequestError" if status < 500 else "InternalServerError"
    return {
        "error": {
            "message": str(error),
            "type": TYPES.get(status, other),
            "param": error.field if isinstance(error, ClientError) else None,
            "code": status,
        }
    }


class ResponseShape(ABC):
    """How an answer goes out. `chunk` and `whole` are the family's own."""

    prefix: ClassVar[str]  # of the answer's id
    kind: ClassVar[str]  # `object`
    chunk_kind: ClassVar[str]

    def __init__(self, body: OpenAIBody, model: str) -> None:
        """`model`: what answers say that ran."""
        self.is_streamed = body.stream
        self.tells_usage = body.stream_options.include_usage
        self._head = {
            "id": self.prefix + uuid.uuid4().hex,
            "object": self.kind,
            "created": int(time.time()),
            "model": model,
        }
        self._chunk_head = {**self._head, "object": self.chunk_kind}
        self._started: set[int] = set()

    def begin(self, running: Running) -> None:
        """Its jobs are accepted: `running` knows their prompts and tokenizers."""
        self.running = running

    @abstractmethod
    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        """Of the answer that is sent at once."""

    @abstractmethod
    def delta(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any] | None:
        """The choice of one event of a stream, None if there is nothing to tell yet.
        `first`: no event has gone out of the answer of that index."""

    def whole(self, answers: Sequence[Answer], used: dict[str, int]) -> dict[str, Any]:
        """The answer that is sent at once."""
        choices = [self.choice(index, answer) for index, answer in enumerate(answers)]
        return {**self._head, "choices": choices, "usage": used}

    def chunk(self, index: int, piece: Piece) -> dict[str, Any] | None:
        """One event of a stream, None if there is nothing to tell yet."""
        delta = self.delta(index, piece, first=index not in self._started)
        if delta is None:
            return None
        self._started.add(index)
        usage = {"usage": None} if self.tells_usage else {}
        return {**self._chunk_head, "choices": [delta], **usage}

    def usage_chunk(self, used: dict[str, int]) -> dict[str, Any]:
        return {**self._chunk_head, "choices": [], "usage": used}


def choice(index: int, finish: Finish | None, said: dict[str, Any]) -> dict[str, Any]:
    return {
        "index": index,
        "finish_reason": _FINISH[finish],
        "logprobs": None,
        **said,
    }


def ran(server: ServerState, requests: Sequence[JobRequest], asked: str | None) -> str:
    """What answers, as `model` tells it: one name, or one for each prompt. The base
    model is told by the name that the client `asked` for, if it is one of its names."""
    base = asked if asked in server.names else server.base
    names = [request.adapter or base for request in requests]
    return names[0] if len(set(names)) == 1 else ", ".join(names)


def usage(running: Running, tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": running.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": running.prompt_tokens + tokens,
    }


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
