"""Answer shape: what /invocations and its kin say, whole and token by token."""

from collections.abc import Sequence
from typing import Any

import msgspec

from hotswap.api.djl.schemas import Parameters
from hotswap.api.shared.running import Answer
from hotswap.engine.ticket import Piece
from hotswap.model.network.rows import Scored
from hotswap.tokenizer import Tokenizer

_FINISH = {"eos": "eos_token", "stop": "stop_sequence", "length": "length"}
Body = dict[str, Any]


class AnswerShape:
    """Of one input's answers. `text`: the input, `tokens` in which it was read by
    `tokenizer`. `is_sse`: events in the place of lines, in which TGI's clients find
    what they read."""

    def __init__(
        self,
        parameters: Parameters,
        text: str,
        tokens: Sequence[int],
        tokenizer: Tokenizer,
        *,
        is_sse: bool = False,
    ) -> None:
        self._parameters = parameters
        self._text = text
        self._prefix = text if parameters.return_full_text else ""
        self._tokens = tokens
        self._tokenizer = tokenizer
        self.is_sse = is_sse

    def whole(self, best: Answer, others: Sequence[Answer] = ()) -> Body:
        """`others`: the next best, which stand in the details."""
        body: Body = {"generated_text": self._prefix + best.text}
        if not self._parameters.details:
            return body
        details = self._details(best) | {"inputs": self._text}
        if self._parameters.decoder_input_details:
            details["prefill"] = self._prefill(best)
        if others:
            details["best_of_sequences"] = [
                {"generated_text": self._prefix + each.text, **self._details(each)}
                for each in others
            ]
        return body | {"details": details}

    def line(self, piece: Piece, answer: Answer) -> bytes:
        """`answer`: with all pieces up to this one. The last adds the whole text."""
        line: Body = {"token": self._token(piece)}
        if self.is_sse:
            line |= {"index": len(answer.tokens), "generated_text": None}
        if piece.finish is not None:
            line |= self.whole(answer)
        return self._written(line)

    def failed(self, error: Exception) -> bytes:
        """The last line of an answer that ends amid its tokens, as DJL has it: there is
        a token in every line."""
        token = {"id": -1, "text": "", "log_prob": -1, "special_token": True}
        details = {"finish_reason": "error", "generated_tokens": None, "inputs": None}
        line = {"token": token, "generated_text": "", "error": str(error)}
        return self._written(line | {"details": details})

    def _written(self, line: Body) -> bytes:
        raw = msgspec.json.encode(line)
        return b"data:" + raw + b"\n\n" if self.is_sse else raw + b"\n"

    def _details(self, answer: Answer) -> Body:
        details: Body = {
            "finish_reason": _FINISH.get(answer.finish or ""),
            "generated_tokens": len(answer.tokens),
            "tokens": [self._token(piece) for piece in answer.tokens],
        }
        if most := self._parameters.top:
            details["top_tokens"] = [
                [self._scored(*one) for one in piece.scored.top[:most]]
                for piece in answer.tokens
                if piece.scored
            ]
        return details

    def _prefill(self, answer: Answer) -> list[Body]:
        """The prompt's tokens; there is nothing to tell the first one by."""
        found: list[Scored] = [s for piece in answer.tokens for s in piece.prompt]
        logprobs = [None, *(scored.logprob for scored in found)]
        return [
            self._scored(token, logprob)
            for token, logprob in zip(self._tokens, logprobs, strict=True)
        ]

    def _scored(self, token: int, logprob: float | None) -> Body:
        text = self._tokenizer.token_text(token)
        return {"id": token, "text": text, "log_prob": logprob}

    def _token(self, piece: Piece) -> Body:
        logprob = piece.scored.logprob if piece.scored else None
        told: Body = {"id": piece.token, "text": piece.text, "log_prob": logprob}
        if self.is_sse and piece.token is not None:
            special = self._tokenizer.is_special(piece.token)
            told |= {"logprob": logprob, "special": special}
        return told
