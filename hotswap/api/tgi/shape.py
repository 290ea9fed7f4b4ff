"""TGI's shape, and LoRAX': answers, events of a stream, errors, and their codes."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from hotswap.api.shared.running import Answer, Running
from hotswap.api.shared.server_state import ServerState
from hotswap.api.tgi.schemas import GenerateParameters
from hotswap.engine.ticket import Piece
from hotswap.errors import (
    BadRequest,
    ClientError,
    HotswapError,
    PromptTooLong,
    UnknownAdapter,
    UnknownModel,
)
from hotswap.model.network.rows import Scored
from hotswap.tokenizer import Tokenizer

# Errors on these paths have this shape.
PATHS = ("/", "/generate", "/generate_stream", "/info")
# The codes that are others than ours.
STATUS: dict[type[HotswapError], int] = {
    BadRequest: 422,
    PromptTooLong: 422,
    UnknownAdapter: 424,
    UnknownModel: 424,
}
FINISH = {"eos": "eos_token", "stop": "stop_sequence", "length": "length"}
Body = dict[str, Any]


def error_body(error: Exception, status: int) -> Body:
    """`error_type` decides what TGI's clients raise."""
    if isinstance(error, UnknownAdapter | UnknownModel):
        kind = "generation"
    elif status in (429, 503):
        kind = "overloaded"
    elif isinstance(error, ClientError) or status < 500:
        kind = "validation"
    else:
        kind = "generation"
    return {"error": str(error), "error_type": kind}


def headers(server: ServerState, running: Running, adapter: str) -> dict[str, str]:
    """LoRAX' beside ours."""
    own = {"x-adapter-id": quote(adapter), "x-adapter-source": "local"}
    return {
        **running.headers(),
        "x-model-id": quote(server.base),
        "x-prompt-tokens": str(running.prompt_tokens),
        **(own if adapter else {}),
    }


class AnswerShape:
    """Of one prompt's answers. `prompt`: its text, `tokens` in which it was read by
    `tokenizer`. `seed`: as it was asked for."""

    def __init__(
        self,
        parameters: GenerateParameters,
        prompt: str,
        tokens: Sequence[int],
        tokenizer: Tokenizer,
        *,
        samples: bool,
    ) -> None:
        self._parameters = parameters
        self._prefix = prompt if parameters.return_full_text else ""
        self._tokens = tokens
        self._tokenizer = tokenizer
        self._seed = parameters.seed if samples else None

    def whole(self, best: Answer, others: Sequence[Answer]) -> Body:
        """`others` were generated with it, and are not as likely."""
        body: Body = {"generated_text": self._prefix + best.text}
        if not self._parameters.tells_details:
            return body
        details = self._details(best) | {"prompt_tokens": len(self._tokens)}
        if others:
            details["best_of_sequences"] = [
                {"generated_text": self._prefix + each.text, **self._details(each)}
                for each in others
            ]
        return body | {"details": details}

    def event(self, piece: Piece, answer: Answer) -> bytes:
        """`answer`: with all pieces up to this one."""
        top = self._top(piece)
        body: Body = {
            "index": len(answer.tokens),
            "token": self._token(piece),
            **({"top_tokens": top} if self._parameters.top_n_tokens else {}),
            "generated_text": None,
            "details": None,
        }
        if piece.finish is not None:
            body["generated_text"] = self._prefix + answer.text
            if self._parameters.details:
                body["details"] = {
                    **self._end(answer),
                    "input_length": len(self._tokens),
                    "prompt_tokens": len(self._tokens),
                }
        return event(body)

    def _details(self, answer: Answer) -> Body:
        pieces = answer.tokens
        details = {
            **self._end(answer),
            "prefill": self._prefill(answer),
            "tokens": [self._token(piece) for piece in pieces],
        }
        if self._parameters.top_n_tokens:
            details["top_tokens"] = [self._top(piece) for piece in pieces]
        return details

    def _end(self, answer: Answer) -> Body:
        return {
            "finish_reason": FINISH.get(answer.finish or ""),
            "generated_tokens": len(answer.tokens),
            "seed": self._seed,
        }

    def _prefill(self, answer: Answer) -> list[Body]:
        """The prompt's tokens; there is nothing to tell the first one by."""
        if not self._parameters.decoder_input_details:
            return []
        found: list[Scored] = [s for piece in answer.tokens for s in piece.prompt]
        logprobs = [None, *(scored.logprob for scored in found)]
        return [
            {"id": token, "text": self._tokenizer.token_text(token), "logprob": logprob}
            for token, logprob in zip(self._tokens, logprobs, strict=True)
        ]

    def _token(self, piece: Piece) -> Body:
        """A special token has its text here, though an answer has it not: TGI's clients
        leave it out by `special`."""
        token = piece.token
        assert token is not None, "a prompt was scored only"
        is_special = self._tokenizer.is_special(token)
        body = {
            "id": token,
            "text": self._tokenizer.token_text(token) if is_special else piece.text,
            "logprob": piece.scored.logprob if piece.scored else None,
            "special": is_special,
        }
        if most := self._parameters.return_k_alternatives:
            body["alternative_tokens"] = self._likeliest(piece, most)
        return body

    def _top(self, piece: Piece) -> list[Body]:
        likeliest = self._likeliest(piece, self._parameters.top_n_tokens or 0)
        return [
            each | {"special": self._tokenizer.is_special(each["id"])}
            for each in likeliest
        ]

    def _likeliest(self, piece: Piece, most: int) -> list[Body]:
        top = piece.scored.top[:most] if piece.scored else ()
        return [
            {"id": token, "text": self._tokenizer.token_text(token), "logprob": logprob}
            for token, logprob in top
        ]


def event(body: Body) -> bytes:
    """One of a stream."""
    return b"data:" + msgspec.json.encode(body) + b"\n\n"
