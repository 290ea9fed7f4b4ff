"""OpenAI's shape: envelopes, choices, chunks and events."""

import time
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec

from hotswap.api.running import Running
from hotswap.api.wire import Chat, Completion
from hotswap.engine.ticket import Piece
from hotswap.errors import ClientError


def error_body(error: Exception, status: int, kind: str) -> dict[str, Any]:
    """OpenAI's envelope, with vLLM's integer `code`."""
    return {
        "error": {
            "message": str(error),
            "type": kind,
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

    def whole(self, index: int, text: str, finish: str) -> dict[str, Any]:
        choice = {"index": index, "finish_reason": finish, "logprobs": None}
        if isinstance(self.data, Chat):
            return {**choice, "message": {"role": "assistant", "content": text}}
        return {**choice, "text": text}

    def chunk(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": index,
            "finish_reason": piece.finish,
            "logprobs": None,
        }
        if isinstance(self.data, Chat):
            role = {"role": "assistant"} if first else {}
            choice["delta"] = {**role, "content": piece.text}
        else:
            choice["text"] = piece.text
        return {**self.head(self.chunk_kind), "choices": [choice]}


def usage(running: Running, tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": running.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": running.prompt_tokens + tokens,
    }


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
