"""Reasoning: what a model thinks before it answers, `<think>...</think>`.

Names and meanings are vLLM's reasoning parsers': with `deepseek_r1` a text is thought
from its beginning, with `qwen3` only if it is opened. A template may have opened or
closed it in the prompt.
"""

from hotswap.api.openai.markers import begun
from hotswap.parser_names import ALIASES

OPENING, CLOSING = "<think>", "</think>"


class ReasoningParser:
    """One answer's text. Thought comes first, and once."""

    def __init__(self, name: str, prompt: str) -> None:
        """`name`: one of `parser_names.REASONING_PARSERS`. `prompt`: the text that the
        model was given."""
        end = prompt.rstrip()
        is_first = ALIASES.get(name, name) == "deepseek_r1"
        self._is_opened = is_first or end.endswith(OPENING)
        self._has_begun = self._is_over = end.endswith(CLOSING)
        self._held = ""

    def push(self, text: str, *, is_last: bool) -> tuple[str, str]:
        """What became certain with this piece: thought, and text of the answer."""
        if self._is_over:
            return "", text
        self._held += text
        if not self._has_begun and not self._begin(is_last=is_last):
            return "", ""
        if self._is_over:
            return "", self._take(len(self._held))
        end = self._held.find(CLOSING)
        if end >= 0:
            thought = self._take(end)
            self._is_over, rest = True, self._take(len(self._held))
            return thought, rest.removeprefix(CLOSING)
        kept = 0 if is_last else begun(self._held, [CLOSING])
        return self._take(len(self._held) - kept), ""

    def _begin(self, *, is_last: bool) -> bool:
        """Whether it is clear how the text begins."""
        bare = self._held.lstrip()
        if not is_last and len(bare) < len(OPENING) and OPENING.startswith(bare):
            return False
        self._has_begun = True
        if bare.startswith(OPENING):
            self._held = bare.removeprefix(OPENING)
        else:
            self._is_over = not self._is_opened
        return True

    def _take(self, size: int) -> str:
        taken, self._held = self._held[:size], self._held[size:]
        return taken
