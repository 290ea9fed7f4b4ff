"""Prompt: what a request wants continued, in tokens once it is known whose.

An adapter may bring a tokenizer of its own, and another one tomorrow: what the client
sent is kept until the engine has taken the job.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hotswap.errors import BadRequest
from hotswap.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Conversation:
    """`template`: what the adapter's sidecar says; None is the tokenizer's own."""

    messages: list[dict[str, str]]
    template: str | None


class Prompt:
    """The copies of a job share one, and its `tokens` are made once."""

    def __init__(self, content: str | Sequence[int] | Conversation, field: str) -> None:
        """`field` names it in errors."""
        self.field = field
        self.tokens: tuple[int, ...] = ()
        self._content = content
        self._by: Tokenizer | None = None  # who made the tokens

    @property
    def is_templated(self) -> bool:
        """Whether a template of the adapter's folder is rendered to encode it."""
        content = self._content
        return isinstance(content, Conversation) and content.template is not None

    def encode(self, tokenizer: Tokenizer) -> None:
        """Make `tokens`. Raises BadRequest for what the tokenizer does not know."""
        if self._by is tokenizer:
            return
        tokens = self._encoded(tokenizer)
        if not tokens:
            raise BadRequest(f"`{self.field}` is empty", self.field)
        tokenizer.check(tokens, self.field)
        self.tokens, self._by = tuple(tokens), tokenizer

    def _encoded(self, tokenizer: Tokenizer) -> Sequence[int]:
        match self._content:
            case Conversation(messages, template):
                return tokenizer.encode_chat(messages, template)
            case str(text):
                # Empty is refused even where the tokenizer adds a start token.
                return tokenizer.encode(text) if text else ()
            case tokens:
                return tokens
