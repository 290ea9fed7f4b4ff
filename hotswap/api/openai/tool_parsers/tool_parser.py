"""Tool parser: what all formats share.

A text goes through three states: text of the answer, one call, and what stands behind a
call. What may be the beginning of a call is held back, so that the deltas joined are
the same however the text was cut into pieces. Nothing is lost: what looks like a call
and is none becomes text of the answer. White space beside a call belongs to the format.
"""

import uuid
from abc import ABC, abstractmethod
from typing import ClassVar

from hotswap.api.openai.deltas import CallDelta, Delta
from hotswap.api.openai.markers import begun
from hotswap.api.openai.tool_parsers.call_reader import CallReader

_FENCE = "```"


class ToolParser(ABC):
    """One answer's text. `example` says how a call is written, for a prompt."""

    example: ClassVar[str] = ""
    openings: ClassVar[tuple[str, ...]] = ()  # what may stand before a call
    closings: ClassVar[tuple[str, ...]] = ()  # and what behind it
    markers: ClassVar[tuple[str, ...]] = ()  # what else may be a special token

    def __init__(
        self, names: frozenset[str], *, ids_of: "type[ToolParser] | None" = None
    ) -> None:
        """`names`: the functions that the request offers. `ids_of`: in whose form the
        ids of calls are; None is its own."""
        self.names = names
        self._new_id = (ids_of or type(self)).new_id
        self.calls = 0
        self._at = self._in_text
        self._held = ""
        self._raw = ""  # of what may be a call, from its opening on
        self._reader = CallReader()
        self._has_said = False
        self._space = ""  # behind a call
        self._deltas: list[Delta] = []

    @classmethod
    def new_id(cls) -> str:
        return f"call_{uuid.uuid4().hex}"

    @abstractmethod
    def _find(self) -> tuple[int, int] | None:
        """Where in `_held` the first call may begin: where its opening does, and where
        its reader does. None: nowhere yet."""

    @abstractmethod
    def _new_reader(self) -> CallReader | None:
        """What reads the call that `_held` begins with; None: more has to come."""

    def push(self, text: str, *, is_last: bool) -> list[Delta]:
        """What became certain with this piece; with the last one all has."""
        self._held += text
        while self._at():
            pass
        if is_last:
            self._finish()
        deltas, self._deltas = self._deltas, []
        return deltas

    # Each state takes of `_held` what it can, and says whether another one may go on.

    def _in_text(self) -> bool:
        found = self._find()
        if found is None:
            start = self._opening(len(self._held) - begun(self._held, self.openings))
            self._say(self._held[:start])
            self._held = self._held[start:]
            return False
        start, body = found
        self._say(self._held[:start])
        self._raw, self._held = self._held[start:body], self._held[body:]
        self._at = self._at_call
        return True

    def _at_call(self) -> bool:
        reader = self._new_reader()
        if reader is None:
            return False
        self._reader, self._at = reader, self._in_call
        return True

    def _in_call(self) -> bool:
        reader = self._reader
        was_call = reader.is_call
        taken = reader.push(self._held)
        self._raw += self._held[:taken]
        self._held = self._held[taken:]
        if reader.is_call:
            self._call(reader, begins=not was_call)
        if not reader.is_over:
            return False
        if reader.is_none:
            self._refuse()
        else:
            self._at, self._raw, self._space = self._behind, "", ""
        return True

    def _behind(self) -> bool:
        while self._held:
            bare = self._held.lstrip()
            self._space += self._held[: len(self._held) - len(bare)]
            self._held = bare
            closing = next((c for c in self._closings() if bare.startswith(c)), "")
            if not closing:
                break
            self._held = bare[len(closing) :]
        if not self._held or any(c.startswith(self._held) for c in self._closings()):
            return False
        self._at = self._in_text
        return True

    def _call(self, reader: CallReader, *, begins: bool) -> None:
        if begins:
            call = CallDelta(self.calls, self._new_id(), reader.name)
            self._deltas.append(Delta(call=call))
            self.calls += 1
        if reader.arguments:
            told = CallDelta(self.calls - 1, arguments="".join(reader.arguments))
            reader.arguments.clear()
            self._deltas.append(Delta(call=told))

    def _refuse(self) -> None:
        """It is no call: text like any other."""
        self._at, raw, self._raw = self._in_text, self._raw, ""
        self._say(raw)

    def _closings(self) -> tuple[str, ...]:
        return self.closings

    def _opening(self, end: int) -> int:
        """Where the openings and the white space begin that `_held` has up to `end`. Of
        two fences the first is text: what comes next cannot be known to be one."""
        left = self.openings
        while True:
            bare = self._held[:end].rstrip()
            marker = next((o for o in left if bare.endswith(o)), "")
            end = len(bare) - len(marker)
            if not marker:
                return end
            if marker.startswith(_FENCE):
                left = tuple(o for o in left if not o.startswith(_FENCE))

    def _say(self, text: str) -> None:
        if text:
            space = self._space if self._has_said else ""
            self._deltas.append(Delta(content=space + text))
            self._has_said, self._space = True, ""

    def _finish(self) -> None:
        """No more text comes. Half of a closing belongs to the call before it."""
        is_told = self._at == self._behind or (
            self._at == self._in_call and self._reader.is_call
        )
        if not is_told:
            self._say(self._raw + self._held)
