"""Hermes: `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`.

Qwen 2.5, Qwen 3 and Nous Hermes write calls so.
"""

from hotswap.api.openai.tool_parsers.call_reader import CallReader
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser

_OPENING = "<tool_call>"


class Hermes(ToolParser):
    """Any function may be called: the marker says that it is a call."""

    example = (
        '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n'
        "</tool_call>"
    )
    openings = (_OPENING,)
    closings = ("</tool_call>",)

    def _find(self) -> tuple[int, int] | None:
        at = self._held.find(_OPENING)
        if at < 0:
            return None
        body = at + len(_OPENING)
        return self._opening(body), body

    def _new_reader(self) -> CallReader:
        return CallReader()
