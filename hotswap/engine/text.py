"""Text out of tokens as they come: incremental detokenising, and stop strings.

Text is streamed exactly as it will be returned whole: a character whose bytes are
spread over tokens is held back until it is complete, and so is any text that may yet
turn out to be the beginning of a stop string.
"""

from collections.abc import Sequence

from hotswap.tokenizer import Tokenizer

_BROKEN = "\ufffd"  # what a decoder writes for bytes that make no character (yet)


class Detokenizer:
    """Turns one job's tokens into text as they come.

    Decodes a short window twice, with and without the new tokens, and emits the
    difference: the way of Hugging Face's text-generation-inference, which is right for
    byte-level and for sentencepiece vocabularies because both decodings start alike.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids: list[int] = []
        self._start = 0  # window [start, read) was emitted, [read, end) was not
        self._read = 0

    def push(self, token: int) -> str:
        """Text that became certain with this token; never half a character."""
        self._ids.append(token)
        before = self._tokenizer.decode(self._ids[self._start : self._read])
        after = self._tokenizer.decode(self._ids[self._start :])
        if len(after) <= len(before) or after.endswith(_BROKEN):
            return ""  # nothing, or a tail that later bytes may complete
        self._start, self._read = self._read, len(self._ids)
        return after[len(before) :]

    def flush(self) -> str:
        """What is left when no more tokens come: possibly a broken character."""
        before = self._tokenizer.decode(self._ids[self._start : self._read])
        after = self._tokenizer.decode(self._ids[self._start :])
        self._start = self._read = len(self._ids)
        return after[len(before) :]


class StopStrings:
    """Cuts a stream of text before the stop string that is complete first.

    Of two that end together the longer one counts, so the cut does not depend on how
    the text was divided into pieces.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""

    def push(self, text: str) -> tuple[str, bool]:
        """Text that is certain to come before any stop, and whether one was met."""
        if not self._stops:
            return text, False
        self._held += text
        found = [(self._held.find(s), len(s)) for s in self._stops if s in self._held]
        if found:
            start, _ = min(found, key=lambda f: (f[0] + f[1], f[0]))
            before, self._held = self._held[:start], ""
            return before, True
        cut = min(_beginning(self._held, stop) for stop in self._stops)
        certain, self._held = self._held[:cut], self._held[cut:]
        return certain, False

    def flush(self) -> str:
        """What was held back for a stop that never came."""
        held, self._held = self._held, ""
        return held


def _beginning(text: str, stop: str) -> int:
    """Where the longest end of `text` begins that begins `stop`; its length if none.

    Looks only where the first character is: a long stop string costs a step of the
    engine next to nothing, and what was looked at in vain is not held.
    """
    at = text.find(stop[0], max(len(text) - len(stop) + 1, 0))
    while at >= 0:
        if stop.startswith(text[at:]):
            return at
        at = text.find(stop[0], at + 1)
    return len(text)
