"""Parser names: the formats in which models write tool calls and their reasoning.

An operator says one for the model or in an adapter's sidecar. The names are vLLM's,
with SGLang's beside them where it has another for the same format.
"""

from typing import Literal, get_args

ToolParserName = Literal[
    "hermes", "llama3_json", "mistral", "json", "qwen25", "llama3", "llama4_json"
]
ReasoningParserName = Literal["deepseek_r1", "qwen3", "deepseek-r1"]

TOOL_PARSERS: tuple[str, ...] = get_args(ToolParserName)
REASONING_PARSERS: tuple[str, ...] = get_args(ReasoningParserName)
# Other names of the same format.
ALIASES = {
    "qwen25": "hermes",
    "llama3": "llama3_json",
    "llama4_json": "llama3_json",
    "deepseek-r1": "deepseek_r1",
}
