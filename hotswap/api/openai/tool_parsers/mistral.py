"""Mistral: calls behind `[TOOL_CALLS]`.

`[{"name": ..., "arguments": {...}}, ...]` up to version 7 of its tokenizers; since then
each call has a marker of its own: `NAME{...}`, `NAME[ARGS]{...}` and
`NAME[CALL_ID]ID[ARGS]{...}`.
"""

import re
import secrets
import string

from hotswap.api.openai.tool_parsers.call_reader import CallReader
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser

_OPENING = "[TOOL_CALLS]"
_HEAD = re.compile(r"\s*([\w.:/-]+)\s*(?:\[CALL_ID\]\s*\w+\s*)?(?:\[ARGS\]\s*)?(?={)")
_MOST = 300  # characters that stand before a call's arguments
_LETTERS = string.ascii_letters + string.digits


class Mistral(ToolParser):
    """Any function may be called: the marker says that it is a call."""

    example = '[TOOL_CALLS][{"name": <function-name>, "arguments": <args-json-object>}]'
    openings = (_OPENING,)
    markers = ("[CALL_ID]", "[ARGS]")

    def __init__(
        self, names: frozenset[str], *, ids_of: type[ToolParser] | None = None
    ) -> None:
        super().__init__(names, ids_of=ids_of)
        self._in_array = False

    @classmethod
    def new_id(cls) -> str:
        """Its templates take ids of nine letters and digits, and no other."""
        return "".join(secrets.choice(_LETTERS) for _ in range(9))

    def _find(self) -> tuple[int, int] | None:
        if self._in_array and self._held.startswith("{"):
            return 0, 0
        self._in_array = False
        at = self._held.find(_OPENING)
        if at < 0:
            return None
        body = at + len(_OPENING)
        return self._opening(body), body

    def _new_reader(self) -> CallReader | None:
        bare = self._held.lstrip()
        if not bare:
            return None
        if bare[0] == "[":
            self._in_array = True
            self._raw += self._held[: len(self._held) - len(bare) + 1]
            self._held = bare[1:]
            return CallReader()
        if bare[0] == "{":
            return CallReader()
        head = _HEAD.match(self._held)
        if head is not None:
            self._raw += head[0]
            self._held = self._held[head.end() :]
            return CallReader(name=head[1])
        if "{" in self._held or len(self._held) > _MOST:
            return CallReader()  # which refuses it
        return None

    def _refuse(self) -> None:
        self._in_array = False
        super()._refuse()

    def _closings(self) -> tuple[str, ...]:
        return (",", "]") if self._in_array else ()
