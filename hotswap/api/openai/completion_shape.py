"""Completion shape: the choices of completions, whole and streamed."""

from collections.abc import Sequence
from typing import Any

from hotswap.api.openai.best_of import best
from hotswap.api.openai.logprobs import of_completion
from hotswap.api.openai.schemas import Completion
from hotswap.api.openai.shape import ResponseShape, choice
from hotswap.api.openai.text_offsets import TextOffsets
from hotswap.api.shared.running import Answer
from hotswap.engine.ticket import Piece
from hotswap.model.network.rows import Scored


class CompletionShape(ResponseShape):
    prefix = "cmpl-"
    kind = chunk_kind = "text_completion"
    prompt_stands_in_choice = True

    def __init__(self, body: Completion, model: str) -> None:
        super().__init__(body, model)
        self._body = body
        self._offsets: dict[int, TextOffsets] = {}

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        number = index // (self._body.n or 1)  # of the prompt
        echoed = self._echoed(number * self._body.copies)
        return choice(index, answer.finish, {"text": echoed + answer.text})

    def delta(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any] | None:
        if not (piece.text or piece.finish or first):
            return None
        echoed = self._echoed(index) if first else ""
        return choice(index, piece.finish, {"text": echoed + piece.text})

    def chosen(self, answers: Sequence[Answer]) -> list[int]:
        if not self._body.chooses:
            return super().chosen(answers)
        copies, n = self._body.copies, self._body.n or 1
        return best(answers, candidates=copies, n=n)

    def logprobs(self, job: int, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        tokens: list[tuple[int, Scored | None]] = []
        places: list[int] = []
        if job not in self._offsets:
            self._offsets[job] = self._answer_offsets(job)
            if self._body.echo:
                tokens, places = self._prompt_tokens(job, pieces[0].prompt)
        for piece in pieces:
            if piece.token is not None:
                tokens.append((piece.token, piece.scored))
                places.append(self._offsets[job].push(piece.token))
        return of_completion(
            tokens,
            places,
            self.running.tokenizers[job],
            top=self._body.top or 0,
            as_ids=self._body.return_tokens_as_token_ids,
        )

    def _prompt_tokens(
        self, job: int, scores: Sequence[Scored]
    ) -> tuple[list[tuple[int, Scored | None]], list[int]]:
        """Of the prompt that is echoed, and where they begin."""
        prompt = self.running.requests[job].prompt
        offsets = TextOffsets(self.running.tokenizers[job], text=self._echoed(job))
        scored = zip(prompt.tokens, (None, *scores), strict=True)
        return list(scored), [offsets.push(token) for token in prompt.tokens]

    def _answer_offsets(self, job: int) -> TextOffsets:
        return TextOffsets(
            self.running.tokenizers[job],
            start=len(self._echoed(job)),
            skips_special=self.running.requests[job].params.skips_special,
        )

    def _echoed(self, job: int) -> str:
        """What its choice begins with."""
        if not self._body.echo:
            return ""
        prompt = self.running.requests[job].prompt
        return prompt.written(self.running.tokenizers[job])
