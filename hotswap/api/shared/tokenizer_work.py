"""Tokenizer work: what a request asks of a tokenizer, done on a thread."""

from collections.abc import Callable
from typing import Generic, TypeVar

from hotswap.errors import BadRequest
from hotswap.tokenizer import Tokenizer

_Made = TypeVar("_Made")


class TokenizerWork(Generic[_Made]):
    """`size`: about as many characters as it takes work. `adapter`: whose tokenizer it
    is, if it brings one: it is named in errors."""

    def __init__(
        self,
        do: Callable[[Tokenizer], _Made],
        tokenizer: Tokenizer,
        size: int,
        adapter: str,
    ) -> None:
        self.size = size
        self.made: _Made
        self._do, self._tokenizer, self._adapter = do, tokenizer, adapter

    def __call__(self) -> None:
        """Sets `made`. Raises what `do` raises."""
        try:
            self.made = self._do(self._tokenizer)
        except BadRequest as error:
            if not self._adapter:
                raise
            text = f"adapter `{self._adapter}`: {error}"
            raise BadRequest(text, error.field) from None
