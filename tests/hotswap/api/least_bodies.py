"""The least that each object of a body has to say, and where it stands."""

from collections.abc import Callable
from typing import Any

from hotswap.api.admin import Validate
from hotswap.api.djl.adapters import Body
from hotswap.api.djl.schemas import Invocation, Parameters
from hotswap.api.djl.workflows import Adapter, Definition
from hotswap.api.openai.chat_messages import ChatMessage
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.schemas import Completion, StreamOptions
from hotswap.api.openai.structured import StructuredOutputs
from hotswap.api.openai.tool_schemas import Function, Tool
from hotswap.api.responses import input_items
from hotswap.api.responses import schemas as responses
from hotswap.api.responses.schemas import Responses
from hotswap.api.shared.schemas import Fields
from hotswap.api.tgi.schemas import Generate, GenerateParameters
from hotswap.api.tokenization import Detokenize, Tokenize
from hotswap.api.vllm import LoadRequest, UnloadRequest

USER = {"role": "user", "content": "hi"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
# Each kind of object, and the least that makes one.
LEAST: dict[type[Fields], dict[str, Any]] = {
    Completion: {"prompt": "a"},
    Chat: {"messages": [USER]},
    ChatMessage: {"role": "user"},
    Tool: {"type": "function", "function": {"name": "f"}},
    Function: {"name": "f"},
    StreamOptions: {},
    StructuredOutputs: {},
    Parameters: {},
    Invocation: {"inputs": "a"},
    Generate: {"inputs": "a"},
    GenerateParameters: {},
    Tokenize: {},
    Detokenize: {"tokens": []},
    LoadRequest: {},
    UnloadRequest: {},
    Body: {},
    Validate: {"src": "x"},
    Adapter: {"model": "m", "src": "s"},
    Responses: {"input": "a"},
    responses.FunctionTool: {"type": "function", "name": "f"},
    responses.Text: {},
    responses.ReasoningOptions: {},
    responses.ResponsesStreamOptions: {},
    input_items.MessageItem: {"role": "user", "content": "a"},
    input_items.MessagePart: {"type": "input_text", "text": "a"},
    input_items.ReasoningItem: {"type": "reasoning"},
    input_items.FunctionCallItem: {
        "type": "function_call",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
    },
    input_items.FunctionOutputItem: {
        "type": "function_call_output",
        "call_id": "c",
        "output": "a",
    },
    Definition: {
        "name": "n",
        "models": {},
        "configs": {"adapters": {}},
        "workflow": {},
    },
}
# Of those that stand in a body: its kind, their place, and the rest of it.
PLACES: dict[type[Fields], tuple[type[Fields], str, Callable[[Any], Any]]] = {
    ChatMessage: (Chat, "messages[1].", lambda it: {"messages": [USER, it]}),
    Tool: (Chat, "tools[0].", lambda it: {"messages": [USER], "tools": [it]}),
    Function: (
        Chat,
        "tools[0].function.",
        lambda it: {
            "messages": [USER],
            "tools": [{"type": "function", "function": it}],
        },
    ),
    StreamOptions: (
        Completion,
        "stream_options.",
        lambda it: {"prompt": "a", "stream_options": it},
    ),
    StructuredOutputs: (
        Completion,
        "structured_outputs.",
        lambda it: {"prompt": "a", "structured_outputs": it},
    ),
    Parameters: (
        Invocation,
        "parameters.",
        lambda it: {"inputs": "a", "parameters": it},
    ),
    GenerateParameters: (
        Generate,
        "parameters.",
        lambda it: {"inputs": "a", "parameters": it},
    ),
}
