"""Text out of tokens as they come: incremental detokenising, and stop strings.

Text is streamed exactly as it will be returned whole: a character whose bytes are
spread over tokens is held back until it is complete, and so is any text that may yet
turn out to be the beginning of a stop string.
"""

from collections.abc import Sequence
from functools import lru_cache

from hotswap.tokenizer import Tokenizer

_BROKEN = "\ufffd"  # what a decoder writes for bytes that make no character (yet)


class Detokenizer:
    """Turns one job's tokens into text as they come.

    Decodes a short window twice, with and without the new tokens, and emits the
    difference: the way of Hugging Face's text-generation-inference, which is right for
    byte-level and for sentencepiece vocabularies because both decodings start alike.
    """

    def __init__(self, tokenizer: Tokenizer, *, skips_special: bool = True) -> None:
        self._tokenizer = tokenizer
        self._skips_special = skips_special
        self._ids: list[int] = []
        self._start = 0  # window [start, read) was emitted, [read, end) was not
        self._read = 0

    def push(self, token: int) -> str:
        """Text that became certain with this token; never half a character."""
        self._ids.append(token)
        before, after = self._window()
        if len(after) <= len(before) or after.endswith(_BROKEN):
            return ""  # nothing, or a tail that later bytes may complete
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]

    def flush(self) -> str:
        """What is left when no more tokens come: possibly a broken character."""
        before, after = self._window()
        self._start = self._read = len(self._ids)
        return after[len(before) :]

    def _window(self) -> tuple[str, str]:
        """The text of the window without and with what was not emitted."""
        decode, skips = self._tokenizer.decode, self._skips_special
        return (
            decode(self._ids[self._start : self._read], skips_special=skips),
            decode(self._ids[self._start :], skips_special=skips),
        )


class StopStrings:
    """Cuts a stream of text before the stop string that is complete first, or behind it
    if it `keeps` that. `met`: which one it was; None so far.

    Of two that end together the longer one counts, so the cut does not depend on how
    the text was divided into pieces.
    """

    def __init__(self, stops: Sequence[str], *, keeps: bool = False) -> None:
        self._stops = [_Stop(stop) for stop in stops]
        self._keeps = keeps
        self._held = ""
        self.met: str | None = None

    def push(self, text: str) -> str:
        """Text that is certain to come before the cut."""
        if not self._stops:
            return text
        start = len(self._held)
        self._held += text
        for end, character in enumerate(text, start + 1):
            met = [stop.text for stop in self._stops if stop.push(character)]
            if met:
                self.met = max(met, key=len)
                cut = end if self._keeps else end - len(self.met)
                before, self._held = self._held[:cut], ""
                return before
        cut = len(self._held) - max(stop.begun for stop in self._stops)
        certain, self._held = self._held[:cut], self._held[cut:]
        return certain

    def flush(self) -> str:
        """What was held back for a stop that never came."""
        held, self._held = self._held, ""
        return held


class _Stop:
    """One stop string, looked for in a stream: Knuth, Morris and Pratt's way, in which
    a character costs the same however long the string is and whatever came before."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.begun = 0  # characters of it that the stream ends with
        self._shorter = _shorter(text)

    def push(self, character: str) -> bool:
        """Whether the stream ends with all of it now."""
        begun = self.begun
        while begun and (begun == len(self.text) or self.text[begun] != character):
            begun = self._shorter[begun]
        self.begun = begun + (self.text[begun] == character)
        return self.begun == len(self.text)


@lru_cache(maxsize=1024)  # the copies of a prompt have the same ones
def _shorter(text: str) -> tuple[int, ...]:
    """For each beginning of `text`, by length: the longest shorter one it ends with."""
    found, size = [0, 0], 0
    for character in text[1:]:
        while size and text[size] != character:
            size = found[size]
        size += text[size] == character
        found.append(size)
    return tuple(found)
