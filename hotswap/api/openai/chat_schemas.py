"""OpenAI's body of a chat completion."""

from dataclasses import replace
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from hotswap.adapters.sidecar import Sidecar
from hotswap.api.openai import structured
from hotswap.api.openai.chat_messages import ChatMessage
from hotswap.api.openai.schemas import OpenAIBody, StreamOptions
from hotswap.api.openai.tool_calling import ToolCalling, calling_of
from hotswap.api.openai.tool_schemas import Choice, Tool, ToolChoice, Tools
from hotswap.api.shared import unsupported_fields
from hotswap.sampling_params import SamplingParams
from hotswap.sampling_ranges import TopLogprobs

_Objects = Annotated[list[dict[str, Any]], Meta(max_length=1000)]
_Variables = Annotated[dict[str, Any], Meta(max_length=64)]
# As long as a sidecar's may be.
_Template = Annotated[str, Meta(min_length=1, max_length=1 << 18)]


class Chat(OpenAIBody, frozen=True, kw_only=True):
    """`include_reasoning` and what is said of templates are vLLM's. None of
    `add_generation_prompt`: unless the final message is continued."""

    defaults = SamplingParams()
    foreign = unsupported_fields.CHAT
    inner: ClassVar = {
        "stream_options": StreamOptions,
        "messages": ChatMessage,
        "tools": Tool,
        "tool_choice": ToolChoice,
        **structured.INNER,
    }

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    logprobs: bool = False
    top_logprobs: TopLogprobs = 0
    tools: Tools | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool = True
    include_reasoning: bool = True
    documents: _Objects | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool = False
    chat_template: _Template | None = None
    chat_template_kwargs: _Variables | None = None

    @property
    def top(self) -> int | None:
        return self.top_logprobs if self.logprobs else None

    @property
    def calling(self) -> ToolCalling:
        return calling_of(
            self.tools or [], self.tool_choice, is_parallel=self.parallel_tool_calls
        )

    def to_params(self, sidecar: Sidecar) -> SamplingParams:
        """Markers of calls and of reasoning may be special tokens: where they are read,
        the text has to have them."""
        params = super().to_params(sidecar)
        if self.calling.mode == "auto" or sidecar.reasoning_parser is not None:
            return replace(params, skips_special=False)
        return params
