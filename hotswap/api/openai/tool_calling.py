"""Tool calling: what one request's `tools` and `tool_choice` come to.

A forced call (`required`, or a function) is made by a grammar, as vLLM does it: it is
JSON of one form, whatever the model's own format is. In `auto` the model writes as its
template tells it, and a tool parser reads that.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from hotswap.api.openai.tool_parsers.tool_parser import ToolParser
from hotswap.api.openai.tool_schemas import Choice, Tool, ToolChoice
from hotswap.api.shared.grammar_spec import GrammarSpec

# OpenAI: "Omitting `parameters` defines a function with an empty parameter list."
_NO_ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {},
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCalling:
    """`name`: the one function that is to be called, in the mode `function`.
    `is_parallel`: whether one answer may have several calls."""

    tools: Sequence[Tool] = field(default=())
    mode: Literal["none", "auto", "required", "function"] = "none"
    name: str = ""
    is_parallel: bool = True

    @property
    def names(self) -> frozenset[str]:
        return frozenset(tool.function.name for tool in self.tools)

    def grammar(self) -> GrammarSpec | None:
        """What a forced call has to match."""
        match self.mode:
            case "required":
                schema = self._array()
            case "function":
                functions = {tool.function.name: tool.function for tool in self.tools}
                schema = functions[self.name].parameters or _NO_ARGUMENTS
            case _:
                return None
        return GrammarSpec("json_schema", json.dumps(schema), "tool_choice")

    def text(self, parser: type[ToolParser] | None) -> str | None:
        """The tools in words, for a template that has no place for them. `parser`: of
        what the model writes in `auto`; None if nobody has said. None: nothing can be
        said."""
        match self.mode:
            case "required":
                how = (
                    "Answer with a JSON array of calls and nothing else, each as "
                    '{"name": <function-name>, "parameters": <args-json-object>}'
                )
            case "function":
                how = (
                    f"Call `{self.name}`: answer with its arguments as one JSON object "
                    "and nothing else."
                )
            case "auto":
                if parser is None:
                    return None
                how = f"To call a function, answer with\n{parser.example}"
            case _:
                return ""
        told = "\n".join(json.dumps(tool.told()["function"]) for tool in self.tools)
        return (
            "You can call these functions. Each is given as a JSON object, in which "
            f"`parameters` is the schema of its arguments.\n\n{told}\n\n{how}"
        )

    def _array(self) -> dict[str, Any]:
        """An array of bare calls: vLLM's schema, with each function's own definitions
        under a name of their own."""
        calls, definitions = [], {}
        for tool in self.tools:
            name = tool.function.name
            schema = tool.function.parameters or _NO_ARGUMENTS
            if "$ref" in json.dumps(schema):
                definitions[name] = _moved(schema, f"#/$defs/{_pointer(name)}")
                schema = {"$ref": f"#/$defs/{_pointer(name)}"}
            calls.append(
                {
                    "type": "object",
                    "properties": {"name": {"enum": [name]}, "parameters": schema},
                    "required": ["name", "parameters"],
                    "additionalProperties": False,
                }
            )
        most = {} if self.is_parallel else {"maxItems": 1}
        items = {"anyOf": calls}
        array = {"type": "array", "minItems": 1, **most, "items": items}
        return {**array, "$defs": definitions} if definitions else array


def calling_of(
    tools: Sequence[Tool], choice: Choice | None, *, is_parallel: bool
) -> ToolCalling:
    """Of what was checked already."""
    if not tools:
        return ToolCalling()
    if isinstance(choice, ToolChoice):
        return ToolCalling(
            tools=tools, mode="function", name=choice.function.name, is_parallel=False
        )
    return ToolCalling(tools=tools, mode=choice or "auto", is_parallel=is_parallel)


def _moved(schema: Any, place: str) -> Any:
    """The schema as it is at `place` of another one: its references follow it."""
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: place + value.removeprefix("#")
        if key == "$ref" and isinstance(value, str) and value.startswith("#")
        else _moved(value, place)
        for key, value in schema.items()
    }


def _pointer(name: str) -> str:
    """A name within a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
