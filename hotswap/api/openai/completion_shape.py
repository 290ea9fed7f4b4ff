"""Completion shape: the choices of completions, whole and streamed."""

from typing import Any

from hotswap.api.openai.shape import ResponseShape, choice
from hotswap.api.shared.running import Answer
from hotswap.engine.ticket import Piece


class CompletionShape(ResponseShape):
    prefix = "cmpl-"
    kind = chunk_kind = "text_completion"

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        return choice(index, answer.finish, {"text": answer.text})

    def delta(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any] | None:
        if not (piece.text or piece.finish or first):
            return None
        return choice(index, piece.finish, {"text": piece.text})
