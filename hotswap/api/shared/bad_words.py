"""Bad words: texts that an answer may not have, in tokens."""

from collections.abc import Sequence

from hotswap.errors import BadRequest
from hotswap.tokenizer import Tokenizer

_FIELD = "bad_words"


class BadWordsEncoding:
    """Work for the encoder pool: `tokens` are there when it is done."""

    def __init__(self, words: Sequence[str], tokenizer: Tokenizer) -> None:
        self._words, self._tokenizer = words, tokenizer
        self.size = sum(2 * len(word) + 100 for word in words)
        self.tokens: tuple[tuple[int, ...], ...] = ()

    def __call__(self) -> None:
        """Raises BadRequest."""
        found: list[tuple[int, ...]] = []
        for word in self._words:
            found += in_tokens(word, self._tokenizer)
        self.tokens = tuple(found)


def in_tokens(word: str, tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    """A word at the beginning of a text and, where that is written as other tokens but
    as many, inside of one: vLLM's `SamplingParams.update_from_tokenizer`.

    Raises BadRequest.
    """
    try:
        begins, inside = (
            tuple(tokenizer.encode(space + word.lstrip(), is_whole=True))
            for space in ("", " ")
        )
        tokenizer.check({*begins, *inside}, _FIELD)
    except BadRequest as error:
        error.field = _FIELD
        raise
    if not begins:
        raise BadRequest(f"`{_FIELD}`: {word!r} is no word", _FIELD)
    is_other = len(inside) == len(begins) and inside[0] != begins[0]
    return [begins, inside] if is_other else [begins]
