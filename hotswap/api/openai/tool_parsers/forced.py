"""Forced: a call that a grammar has made, so that it always parses.

One of a named function is its arguments and nothing else. Several (`required`) are an
array of bare calls, which `json_calls` reads.
"""

from hotswap.api.openai.deltas import CallDelta, Delta
from hotswap.api.openai.tool_parsers.call_reader import CallReader
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser


class ForcedFunction(ToolParser):
    """All of the text is arguments of the one function in `names`."""

    def push(self, text: str, *, is_last: bool) -> list[Delta]:
        deltas = []
        if not self.calls and (text or is_last):
            (name,) = self.names
            self.calls = 1
            deltas.append(Delta(call=CallDelta(0, self._new_id(), name)))
        if text:
            deltas.append(Delta(call=CallDelta(0, arguments=text)))
        return deltas

    def _find(self) -> None:
        return None

    def _new_reader(self) -> CallReader:
        raise AssertionError("it reads no calls")
