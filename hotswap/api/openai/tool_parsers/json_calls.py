"""JSON calls: `{"name": ..., "arguments": {...}}`, bare, anywhere in a text.

It is a call only if its name is that of a function that the request offers and it has
no keys that calls do not have: an answer may be JSON, too.
"""

from typing import ClassVar

from hotswap.api.openai.tool_parsers.call_reader import CallReader
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser

_OTHERS = frozenset({"type", "id"})


class JsonCalls(ToolParser):
    """One, or an array of them, perhaps in a fence of Markdown."""

    example = '{"name": <function-name>, "arguments": <args-json-object>}'
    openings: ClassVar[tuple[str, ...]] = ("```json", "```", "[")
    closings: ClassVar[tuple[str, ...]] = (",", ";", "]", "```")

    def _find(self) -> tuple[int, int] | None:
        at = self._held.find("{")
        return None if at < 0 else (self._opening(at), at)

    def _new_reader(self) -> CallReader:
        return CallReader(names=self.names, others=_OTHERS)


class Llama3(JsonCalls):
    """Llama 3.1's and later: several stand one behind the other, or with a semicolon
    between them; a token may say that one comes."""

    example = '{"name": <function-name>, "parameters": <args-json-object>}'
    openings = ("<|python_tag|>",)
    closings = (";", ",")
