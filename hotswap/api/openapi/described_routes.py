"""Described routes: the body, the answer and the errors of each. One table.

Types of bodies are those that the routes read by. Those of answers are what functions
of routes say that they return; where they send bytes, what stands here, and a test
compares it with what is answered.
"""

from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from hotswap.api.admin import NamedSum, Validate
from hotswap.api.djl import event_stream, sagemaker_shape
from hotswap.api.djl import shape as djl_shape
from hotswap.api.djl.adapters import Body
from hotswap.api.djl.schemas import Invocation
from hotswap.api.djl.workflows import Definition
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.schemas import Completion
from hotswap.api.openapi.generate_answers import DJLGenerated, TGIGenerated
from hotswap.api.openapi.openai_answers import ChatAnswer, CompletionAnswer
from hotswap.api.responses import input_items
from hotswap.api.responses.schemas import Responses
from hotswap.api.tgi import shape as tgi_shape
from hotswap.api.tgi.schemas import Generate
from hotswap.api.tokenization import Detokenize, Tokenize
from hotswap.api.vllm import LoadRequest, UnloadRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """None: it reads no body; its function says what it answers. `stream`: the media
    type of an answer that comes in pieces. `inner`: objects of the body that its type
    does not lead to. `also`: more bodies that it reads, each with its answer."""

    body: type | None = None
    answer: Any = None
    stream: str = ""
    is_body_required: bool = True
    inner: tuple[type, ...] = ()
    also: tuple[tuple[type, Any], ...] = ()

    @property
    def types(self) -> list[Any]:
        return [*self.bodies, *self.answers, *self.inner]

    @property
    def bodies(self) -> list[Any]:
        return [kind for kind in (self.body, *(b for b, _ in self.also)) if kind]

    @property
    def answers(self) -> list[Any]:
        return [kind for kind in (self.answer, *(a for _, a in self.also)) if kind]


class OpenAIErrorDetail(TypedDict):
    message: str
    type: str
    param: str | None
    code: int
    refusal: NotRequired[str]


class OpenAIError(TypedDict):
    error: OpenAIErrorDetail


class DJLError(TypedDict):
    code: int
    type: str
    message: str
    error: str
    refusal: NotRequired[str]


class SageMakerError(TypedDict):
    """All but `Message` are of a ModelError: what /invocations answers."""

    Message: str
    OriginalStatusCode: NotRequired[int]
    OriginalMessage: NotRequired[str]
    LogStreamArn: NotRequired[str]


class TGIError(TypedDict):
    error: str
    error_type: str


_EVENTS = "text/event-stream"

_INVOKE = Route(
    body=Invocation,
    answer=DJLGenerated | list[DJLGenerated],
    stream="application/jsonlines",
    also=((Chat, ChatAnswer), (Completion, CompletionAnswer)),
)
_FRAMED = Route(
    body=Invocation,
    stream=event_stream.MEDIA_TYPE,
    also=((Chat, None), (Completion, None)),
)
_REGISTER = Route(body=Body, is_body_required=False)

DESCRIBED: dict[tuple[str, str], Route] = {
    ("post", "/v1/completions"): Route(
        body=Completion, answer=CompletionAnswer, stream=_EVENTS
    ),
    ("post", "/v1/chat/completions"): Route(
        body=Chat, answer=ChatAnswer, stream=_EVENTS
    ),
    ("post", "/v1/responses"): Route(
        body=Responses, stream=_EVENTS, inner=input_items.INNER
    ),
    ("post", "/"): Route(body=Generate, answer=list[TGIGenerated], stream=_EVENTS),
    ("post", "/generate"): Route(body=Generate, answer=TGIGenerated),
    ("post", "/generate_stream"): Route(body=Generate, stream=_EVENTS),
    ("post", "/tokenize"): Route(body=Tokenize),
    ("post", "/detokenize"): Route(body=Detokenize),
    ("post", "/invocations"): _INVOKE,
    ("post", "/predictions/{model}"): _INVOKE,
    ("post", "/endpoints/{model}/invocations"): _INVOKE,
    ("post", "/endpoints/{model}/invocations-response-stream"): _FRAMED,
    ("post", "/models/{model}/invoke"): _INVOKE,
    ("post", "/adapters"): _REGISTER,
    ("post", "/models/{model}/adapters"): _REGISTER,
    ("post", "/workflows"): Route(body=Definition, is_body_required=False),
    ("post", "/v1/load_lora_adapter"): Route(body=LoadRequest),
    ("post", "/v1/unload_lora_adapter"): Route(body=UnloadRequest),
    ("post", "/v1/adapters"): Route(body=NamedSum),
    ("post", "/v1/adapters/validate"): Route(body=Validate),
    ("get", "/v1/events"): Route(stream=_EVENTS),
}


def errors_at(path: str) -> Any:
    """The shape of a path's errors."""
    if path.startswith(sagemaker_shape.PATH):
        return SageMakerError
    if path in tgi_shape.PATHS:
        return TGIError
    return DJLError if path.startswith(djl_shape.PATHS) else OpenAIError
