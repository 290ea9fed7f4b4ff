"""OpenAI's shape: envelopes, chunks, events and errors, of completions and chat."""

import time
import uuid
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec

from hotswap.api.openai.logprobs import of_prompt
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
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    409: "ConflictError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
Usage = dict[str, Any]
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
    # Where vLLM tells of a prompt's tokens: in each choice, or beside the choices.
    prompt_stands_in_choice: ClassVar[bool] = False

    def __init__(self, body: OpenAIBody, model: str) -> None:
        """`model`: what answers say that ran."""
        self.is_streamed = body.stream
        self.tells_usage = body.stream_options.include_usage
        self._asked = body
        self._head = {
            "id": self.prefix + uuid.uuid4().hex,
            "object": self.kind,
            "created": int(time.time()),
            "model": model,
        }
        self._chunk_head = {**self._head, "object": self.chunk_kind}
        self._started: set[int] = set()  # indices of which an event has gone out
        self._untold: dict[int, list[Piece]] = {}  # since the last event of an index
        self._counts: Counter[int] = Counter()  # tokens of an index

    def begin(self, running: Running) -> None:
        """Its jobs are accepted: `running` knows their prompts and tokenizers, and what
        they are answered by, which OpenAI's documentation calls the fingerprint."""
        self.running = running
        for head in (self._head, self._chunk_head):
            head["system_fingerprint"] = running.generations

    @abstractmethod
    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        """Of the answer that is sent at once."""

    @abstractmethod
    def delta(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any] | None:
        """The choice of one event of a stream, None if there is nothing to tell yet.
        `first`: no event has gone out of the answer of that index."""

    @abstractmethod
    def logprobs(self, job: int, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        """Of a job's pieces, which follow those of the call before."""

    def chosen(self, answers: Sequence[Answer]) -> list[int]:
        """Which jobs' answers go out, in order."""
        return list(range(len(answers)))

    def whole(self, answers: Sequence[Answer], used: Usage) -> dict[str, Any]:
        """The answer that is sent at once."""
        choices = []
        beside: dict[str, Any] = {}
        for index, job in enumerate(self.chosen(answers)):
            pieces = answers[job].tokens
            said = {**self.choice(index, answers[job]), **self._told(job, pieces)}
            prompt = self._told_of_prompt(job, pieces[0])
            if self.prompt_stands_in_choice:
                said |= prompt
            else:
                beside = prompt
            choices.append(said)
        return {**self._head, "choices": choices, "usage": used, **beside}

    def chunk(self, index: int, piece: Piece) -> dict[str, Any] | None:
        """One event of a stream, None if there is nothing to tell yet: what there is to
        tell of its token then goes out with the next."""
        first = index not in self._started
        self._counts[index] += piece.token is not None
        untold = self._untold.setdefault(index, [])
        untold.append(piece)
        delta = self.delta(index, piece, first=first)
        if delta is None:
            return None
        said = {**delta, **self._told(index, untold)}
        prompt = self._told_of_prompt(index, piece) if first else {}
        self._untold[index] = []
        self._started.add(index)
        usage = {"usage": self._usage_so_far(index)} if self.tells_usage else {}
        if self.prompt_stands_in_choice:
            return {**self._chunk_head, "choices": [said | prompt], **usage}
        return {**self._chunk_head, "choices": [said], **usage, **prompt}

    def usage_chunk(self, used: Usage) -> dict[str, Any]:
        return {**self._chunk_head, "choices": [], "usage": used}

    def _usage_so_far(self, index: int) -> Usage | None:
        """vLLM's `continuous_usage_stats`: of that choice and its prompt."""
        if not self._asked.stream_options.continuous_usage_stats:
            return None
        prompt = self.running.requests[index].prompt.tokens
        return usage(len(prompt), self._counts[index], self.running.cached[index])

    def _told(self, job: int, pieces: Sequence[Piece]) -> dict[str, Any]:
        """What a choice tells of these tokens besides their text."""
        told: dict[str, Any] = {"stop_reason": pieces[-1].stop_reason}
        if self._asked.top is not None:
            told["logprobs"] = self.logprobs(job, pieces)
        if self._asked.return_token_ids:
            tokens = [piece.token for piece in pieces if piece.token is not None]
            told["token_ids"] = tokens
        return told

    def _told_of_prompt(self, job: int, first: Piece) -> dict[str, Any]:
        """In vLLM's words. `first`: the job's first piece, which has the scores."""
        told: dict[str, Any] = {}
        if self._asked.return_token_ids:
            told["prompt_token_ids"] = self.running.requests[job].prompt.tokens
        if self._asked.prompt_logprobs is not None:
            tokenizer, top = self.running.tokenizers[job], self._asked.prompt_logprobs
            told["prompt_logprobs"] = of_prompt(first.prompt, tokenizer, top=top)
        return told


def choice(
    index: int, finish: Finish | None, said: dict[str, Any], **extra: object
) -> dict[str, Any]:
    return {
        "index": index,
        "finish_reason": _FINISH[finish],
        "logprobs": None,
        **said,
        **extra,
    }


def ran(server: ServerState, requests: Sequence[JobRequest], asked: str | None) -> str:
    """What answers, as `model` tells it: one name, or one for each prompt. The base
    model is told by the name that the client `asked` for, if it is one of its names."""
    base = asked if asked in server.names else server.base
    names = [request.adapter or base for request in requests]
    return names[0] if len(set(names)) == 1 else ", ".join(names)


def usage(prompt: int, answer: int, cached: int) -> Usage:
    """Of so many tokens. `cached`: of the prompt's, those that were found."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": answer,
        "total_tokens": prompt + answer,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"
