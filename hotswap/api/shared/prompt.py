"""Prompt: what a request wants continued, in tokens once it is known whose.

An adapter may bring a tokenizer of its own, and another one tomorrow: what the client
sent is kept until the engine has taken the job.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from hotswap.errors import BadRequest, ClientError, PromptTooLong
from hotswap.template_options import PLAIN, TemplateOptions
from hotswap.tokenizer import Tokenizer


@dataclass(frozen=True, slots=True)
class Conversation:
    """`template`: what the adapter's sidecar or the request says; None is the
    tokenizer's own. `is_own`: whether the request itself says it. `sees`: is told the
    text of the template that is taken, before it is rendered, on any thread; it may
    raise BadRequest."""

    messages: Sequence[Mapping[str, Any]]
    template: str | None
    options: TemplateOptions = PLAIN
    is_own: bool = False
    sees: Callable[[str], None] = lambda template: None

    @property
    def size(self) -> int:
        """Characters of all that is rendered."""
        options = self.options
        told = (self.messages, options.tools, options.documents, options.variables)
        return len(msgspec.json.encode([each for each in told if each]))

    def render(self, tokenizer: Tokenizer) -> str:
        """Raises BadRequest and NoRenderer."""
        try:
            self.sees(self.template or tokenizer.template_for(self.options))
            return tokenizer.render(self.messages, self.template, self.options)
        except BadRequest as error:
            if self.is_own and error.field == "messages":
                error.field = "chat_template"
            raise


class Prompt:
    """The jobs that answer one prompt share it, and its `tokens` are made once."""

    def __init__(
        self,
        content: str | Sequence[int] | Conversation,
        field: str,
        *,
        truncate: int | None = None,
        truncation_side: Literal["left", "right"] = "left",
        answer: int = 1,
        adds_special: bool | None = None,
    ) -> None:
        """`field` names it in errors. `truncate`: most tokens that are kept, at the
        side that is not truncated; -1: as many as fit beside an `answer` of so many.
        `adds_special`: whether the tokenizer adds a start and the like; None: to a
        text, not to a conversation, which has them in its template."""
        self.field = field
        self.tokens: tuple[int, ...] = ()
        self.text = ""  # that the tokens are of, where a template made it
        self._truncate, self._side, self._answer = truncate, truncation_side, answer
        self._adds_special = adds_special
        self._content = content
        self._by: Tokenizer | None = None  # who made the tokens

    @property
    def brings_template(self) -> bool:
        """Whether the request says how it is to be rendered."""
        return isinstance(self._content, Conversation) and self._content.is_own

    @property
    def is_templated(self) -> bool:
        """Whether a template of the adapter's folder is rendered to encode it."""
        content = self._content
        return isinstance(content, Conversation) and content.template is not None

    @property
    def size(self) -> int:
        """About as many characters as it takes work to encode."""
        match self._content:
            case Conversation() as conversation:
                return conversation.size
            case str(text):
                return len(text) + 100  # of a call
            case tokens:
                return len(tokens) // 50

    def is_encoded(self, tokenizer: Tokenizer) -> bool:
        return self._by is tokenizer

    def encode(self, tokenizer: Tokenizer, limit: int) -> None:
        """Make `tokens`. Raises BadRequest for what the tokenizer does not know, and
        PromptTooLong, before any work, for what has no room in `limit` tokens."""
        if self.is_encoded(tokenizer):
            return
        try:
            tokens = self._encoded(tokenizer, limit)
        except ClientError as error:
            error.field = error.field or self.field
            raise
        if not tokens:
            raise BadRequest(f"`{self.field}` is empty", self.field)
        tokenizer.check(tokens, self.field)
        self.tokens, self._by = tuple(self._truncated(tokens, limit)), tokenizer

    def written(self, tokenizer: Tokenizer) -> str:
        """Its text as `echo` gives it back, after it was encoded: a text as it came,
        unless it was truncated; else what the tokens say, special ones too."""
        if isinstance(self._content, str) and self._truncate is None:
            return self._content
        raw = b"".join(tokenizer.token_bytes(token) for token in self.tokens)
        return raw.decode(errors="replace")

    def check_size(self, tokenizer: Tokenizer, limit: int) -> None:
        """Raises PromptTooLong for what has no room in `limit` tokens, however it is
        divided into them."""
        match self._content:
            case _ if self._truncate is not None:
                pass
            case str(text):
                self._check_text(text, tokenizer, limit)
            case Conversation():
                pass  # what its template makes of it is not known yet
            case tokens if len(tokens) > limit:
                raise PromptTooLong(len(tokens), 1, limit, self.field)

    def _truncated(self, tokens: Sequence[int], limit: int) -> Sequence[int]:
        if self._truncate is None:
            return tokens
        most = self._truncate
        if most == -1:
            most = max(limit - self._answer, 1)
        return tokens[-most:] if self._side == "left" else tokens[:most]

    def _check_text(self, text: str, tokenizer: Tokenizer, limit: int) -> None:
        if len(text) > limit * tokenizer.longest:
            raise PromptTooLong.by_characters(len(text), limit, self.field)

    def _encoded(self, tokenizer: Tokenizer, limit: int) -> Sequence[int]:
        self.check_size(tokenizer, limit)
        match self._content:
            case Conversation() as conversation:
                self.text = text = conversation.render(tokenizer)
                if self._truncate is None:
                    self._check_text(text, tokenizer, limit)
                return tokenizer.encode(text, is_whole=not self._adds_special)
            case str(text):
                # Empty is refused even where the tokenizer adds a start token.
                is_whole = self._adds_special is False
                return tokenizer.encode(text, is_whole=is_whole) if text else ()
            case tokens:
                return tokens
