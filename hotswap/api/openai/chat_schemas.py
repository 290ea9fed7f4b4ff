"""OpenAI's body of a chat completion, and its messages."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from hotswap.api.openai import structured
from hotswap.api.openai.schemas import OpenAIBody, StreamOptions
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.schemas import Fields
from hotswap.sampling_params import SamplingParams


class ContentPart(Fields, frozen=True, kw_only=True):
    type: Literal["text"]
    text: str


class ChatMessage(Fields, frozen=True, kw_only=True):
    """OpenAI's roles `tool` and `function` need tools, which are not supported."""

    foreign = unsupported_fields.MESSAGE

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[ContentPart], Meta(min_length=1)]


class Chat(OpenAIBody, frozen=True, kw_only=True):
    defaults = SamplingParams()
    foreign = unsupported_fields.CHAT
    inner: ClassVar = {
        "stream_options": StreamOptions,
        "messages": ChatMessage,
        **structured.INNER,
    }

    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
