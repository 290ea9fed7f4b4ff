"""OpenAI's shape: envelopes, choices, chunks and events."""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from hotswap.api.openai_schemas import Chat, Completion
from hotswap.api.running import Running
from hotswap.api.serving import Serving
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


@dataclass(slots=True)
class Shape:
    """How completions and chat completions differ on the way out."""

    prefix: str
    kind: str
    chunk_kind: str
    data: Completion | Chat
    model: str = ""
    id: str = ""
    created: int = 0

    def __post_init__(self) -> None:
        self.id = self.prefix + uuid.uuid4().hex
        self.created = int(time.time())

    def head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def whole(self, index: int, text: str, finish: Finish | None) -> dict[str, Any]:
        choice = {"index": index, "finish_reason": _FINISH[finish], "logprobs": None}
        if isinstance(self.data, Chat):
            return {**choice, "message": {"role": "assistant", "content": text}}
        return {**choice, "text": text}

    def chunk(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": index,
            "finish_reason": _FINISH[piece.finish],
            "logprobs": None,
        }
        if isinstance(self.data, Chat):
            role = {"role": "assistant"} if first else {}
            choice["delta"] = {**role, "content": piece.text}
        else:
            choice["text"] = piece.text
        return {**self.head(self.chunk_kind), "choices": [choice]}


def ran(serving: Serving, adapters: Sequence[str], asked: str | None) -> str:
    """What answered, as `model` tells it: one name, or one for each prompt. The base
    model is told by the name that the client `asked` for, if it is one of its names."""
    base = asked if asked in serving.names else serving.base
    names = [adapter or base for adapter in adapters]
    return names[0] if len(set(names)) == 1 else ", ".join(names)


def usage(running: Running, tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": running.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": running.prompt_tokens + tokens,
    }


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
