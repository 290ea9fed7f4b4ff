"""Markers: strings with a meaning in a text that comes in pieces."""

import re
from collections.abc import Iterable
from functools import lru_cache


def begun(text: str, markers: Iterable[str]) -> int:
    """Characters at the end of `text` that may be the beginning of a marker, and are
    not all of it."""
    most = 0
    for marker in markers:
        for size in range(min(len(marker) - 1, len(text)), most, -1):
            if text.endswith(marker[:size]):
                most = size
                break
    return most


class Remover:
    """Takes markers out of a text. What may be the beginning of one is held back."""

    def __init__(self, markers: tuple[str, ...]) -> None:
        self._markers = markers
        self._held = ""

    def push(self, text: str, *, is_last: bool) -> str:
        if not self._markers:
            return text
        left = _any(self._markers).sub("", self._held + text)
        cut = len(left) if is_last else len(left) - begun(left, self._markers)
        certain, self._held = left[:cut], left[cut:]
        return certain


@lru_cache(maxsize=64)
def _any(markers: tuple[str, ...]) -> re.Pattern[str]:
    longest_first = sorted(markers, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)))
