"""OpenAI's shape: envelopes, choices, chunks and events."""

import time
import uuid
from collections.abc import Sequence
from typing import Any

import msgspec

from hotswap.api.job_request import JobRequest
from hotswap.api.openai_schemas import Chat, Completion
from hotswap.api.running import Answer, Running
from hotswap.api.server_state import ServerState
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


class ResponseShape:
    """How completions and chat completions differ on the way out."""

    def __init__(self, body: Completion | Chat, model: str) -> None:
        """`model`: what answers say that ran."""
        self._is_chat = isinstance(body, Chat)
        self.is_streamed = body.stream
        self.tells_usage = body.stream_options.include_usage
        self._head = {
            "id": ("chatcmpl-" if self._is_chat else "cmpl-") + uuid.uuid4().hex,
            "object": "chat.completion" if self._is_chat else "text_completion",
            "created": int(time.time()),
            "model": model,
        }
        self._chunk_head = dict(self._head)
        if self._is_chat:
            self._chunk_head["object"] = "chat.completion.chunk"

    def whole(self, answers: Sequence[Answer], used: dict[str, int]) -> dict[str, Any]:
        """The answer that is sent at once."""
        choices = []
        for index, answer in enumerate(answers):
            said: dict[str, Any] = {"text": answer.text}
            if self._is_chat:
                said = {"message": {"role": "assistant", "content": answer.text}}
            choices.append(_choice(index, answer.finish, said))
        return {**self._head, "choices": choices, "usage": used}

    def chunk(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any]:
        """One event of a stream. `first`: of the answer of that index."""
        said: dict[str, Any] = {"text": piece.text}
        if self._is_chat:
            role = {"role": "assistant"} if first else {}
            said = {"delta": {**role, "content": piece.text}}
        choices = [_choice(index, piece.finish, said)]
        usage = {"usage": None} if self.tells_usage else {}
        return {**self._chunk_head, "choices": choices, **usage}

    def usage_chunk(self, used: dict[str, int]) -> dict[str, Any]:
        return {**self._chunk_head, "choices": [], "usage": used}


def _choice(index: int, finish: Finish | None, said: dict[str, Any]) -> dict[str, Any]:
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
