"""JSON calls: `{"name": ..., "arguments": {...}}`, bare, anywhere in a text.

It is a call only if its name is that of a function that the request offers and it has
no keys that calls do not have: an answer may be JSON, too. Within an object that is no
call there are none.
"""

from typing import ClassVar

from hotswap.api.openai.tool_parsers.call_reader import CallReader, ValueScan
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser

_OTHERS = frozenset({"type", "id"})


class JsonCalls(ToolParser):
    """One, or an array of them, perhaps in a fence of Markdown."""

    example = '{"name": <function-name>, "arguments": <args-json-object>}'
    openings: ClassVar[tuple[str, ...]] = ("```json", "```", "[")
    closings: ClassVar[tuple[str, ...]] = (",", ";", "]", "```")

    def __init__(
        self, names: frozenset[str], *, ids_of: type[ToolParser] | None = None
    ) -> None:
        super().__init__(names, ids_of=ids_of)
        self._scan = ValueScan()  # of an object that is no call

    def _find(self) -> tuple[int, int] | None:
        at = self._held.find("{")
        return None if at < 0 else (self._opening(at), at)

    def _new_reader(self) -> CallReader:
        return CallReader(names=self.names, others=_OTHERS)

    def _refuse(self) -> None:
        raw = self._raw[self._raw.index("{") :]
        super()._refuse()
        self._scan, is_whole = ValueScan(), False
        for character in raw:
            is_whole = self._scan.ends(character)
        if '"' in raw and not is_whole:  # a brace alone is no object
            self._at = self._in_object

    def _in_object(self) -> bool:
        for position, character in enumerate(self._held, 1):
            if self._scan.ends(character):
                self._say(self._held[:position])
                self._held = self._held[position:]
                self._at = self._in_text
                return True
        self._say(self._held)
        self._held = ""
        return False


class Llama3(JsonCalls):
    """Llama 3.1's and later: several stand one behind the other, or with a semicolon
    between them; a token may say that one comes."""

    example = '{"name": <function-name>, "parameters": <args-json-object>}'
    openings = ("<|python_tag|>",)
    closings = (";", ",")
