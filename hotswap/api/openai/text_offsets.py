"""Text offsets: where in a text each of its tokens begins, in characters."""

import codecs

from hotswap.tokenizer import Tokenizer


class TextOffsets:
    """Of one text, whose tokens come one after the other. A token that ends or goes on
    with a character begins where that character does."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        start: int = 0,
        skips_special: bool = False,
        text: str | None = None,
    ) -> None:
        """`start`: of the text, in what it is a part of. `skips_special`: whether the
        text leaves special tokens out. `text`: the whole one, where it is known before
        its tokens are: a prompt's, to which a tokenizer adds some."""
        self._tokenizer = tokenizer
        self._start = self._at = start
        self._skips_special = skips_special
        self._text = text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> int:
        """Where it begins."""
        begins = self._at
        raw = self._tokenizer.token_bytes(token)
        if self._tokenizer.is_special(token):
            name = raw.decode(errors="replace")
            self._at += 0 if self._is_left_out(name) else len(name)
        else:
            self._at += len(self._plain(token, self._decoder.decode(raw)))
        return begins

    def _is_left_out(self, name: str) -> bool:
        if self._text is None:
            return self._skips_special
        return not self._text.startswith(name, self._at - self._start)

    def _plain(self, token: int, said: str) -> str:
        """Some decoders drop the space that a text begins with."""
        if self._at != self._start or not said.startswith(" "):
            return said
        text = self._text
        begun = self._tokenizer.decode([token]) if text is None else text
        return said if begun.startswith(" ") else said[1:]
