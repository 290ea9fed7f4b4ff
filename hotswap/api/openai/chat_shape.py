"""Chat shape: the choices of chat completions, whole and streamed."""

from collections.abc import Sequence
from typing import Any

from hotswap.api.openai.logprobs import of_chat
from hotswap.api.openai.shape import ResponseShape, choice
from hotswap.api.shared.running import Answer
from hotswap.engine.ticket import Piece


class ChatShape(ResponseShape):
    prefix = "chatcmpl-"
    kind = "chat.completion"
    chunk_kind = "chat.completion.chunk"

    def choice(self, index: int, answer: Answer) -> dict[str, Any]:
        message = {"role": "assistant", "content": answer.text}
        return choice(index, answer.finish, {"message": message})

    def delta(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any] | None:
        if not (piece.text or piece.finish or first):
            return None
        role = {"role": "assistant"} if first else {}
        said = {"delta": {**role, "content": piece.text}}
        return choice(index, piece.finish, said)

    def logprobs(self, job: int, pieces: Sequence[Piece]) -> dict[str, Any] | None:
        return of_chat(
            pieces,
            self.running.tokenizers[job],
            top=self._asked.top or 0,
            as_ids=self._asked.return_tokens_as_token_ids,
        )
