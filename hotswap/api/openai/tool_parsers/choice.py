"""Choice of a tool parser: by the name that an operator gives, or by the template.

A template tells the model how to write a call, and writes the conversation's earlier
ones: the markers of a format stand in its text.
"""

from hotswap.api.openai.tool_parsers.hermes import Hermes
from hotswap.api.openai.tool_parsers.json_calls import JsonCalls, Llama3
from hotswap.api.openai.tool_parsers.mistral import Mistral
from hotswap.api.openai.tool_parsers.tool_parser import ToolParser
from hotswap.parser_names import ALIASES

_PARSERS: dict[str, type[ToolParser]] = {
    "hermes": Hermes,
    "llama3_json": Llama3,
    "mistral": Mistral,
    "json": JsonCalls,
}
# Of formats that nobody here reads, though they look like one of these.
_OTHERS = (
    *("<function=", "<arg_key>", "<|tool", "<\uff5ctool", "functools[", "[func_name1"),
    *("<|action_start|>", "<TOOLCALL>", "tool_code", "<|START_ACTION|>", "<|channel|>"),
    "<minimax:tool_call>",
)


def named(name: str) -> type[ToolParser]:
    """`name`: one of `parser_names.TOOL_PARSERS`."""
    return _PARSERS[ALIASES.get(name, name)]


def of_template(template: str) -> type[ToolParser] | None:
    """None: it says nothing of calls, or of a format that is not known."""
    if any(marker in template for marker in _OTHERS):
        return None
    if "[TOOL_CALLS]" in template:
        return Mistral
    if "<tool_call>" in template:
        return Hermes
    if "<|python_tag|>" in template or '"parameters": dictionary' in template:
        return Llama3
    is_told = any(f'"{key}"' in template for key in ("arguments", "parameters"))
    return JsonCalls if is_told and '"name"' in template else None
