"""/tokenize, /detokenize and /tokenizer_info: vLLM's; /tokenize in TGI's form as well.

The tokenizer is the one that the adapter's prompts are read by. lm-evaluation-harness'
remote tokenizer asks all three.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, TypedDict

from litestar import Request, get, post
from msgspec import Meta

from hotswap.adapters.adapter_info import AdapterState
from hotswap.api.openai.chat_messages import ChatMessage, templated
from hotswap.api.shared import unsupported_fields
from hotswap.api.shared.prompt import Conversation, Prompt
from hotswap.api.shared.request_body import read_body, selected
from hotswap.api.shared.schemas import AdapterFields, Fields
from hotswap.api.shared.selection import Selection
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter
from hotswap.errors import BadRequest, UnknownAdapter, UnknownModel
from hotswap.sampling_ranges import TokenId
from hotswap.tokenizer import Tokenizer
from hotswap.tokenizer_queries import facts, text_of, vocabulary_names, with_places

_MOST_TOKENS = 1 << 20  # of a conversation: the context does not bound what is counted


class Tokenize(Fields, frozen=True, kw_only=True):
    """One of `prompt`, `messages` (vLLM's) and `inputs` (TGI's and LoRAX')."""

    foreign = unsupported_fields.TOKENIZE
    inner: ClassVar = {"messages": ChatMessage}

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    prompt: str | None = None
    messages: Annotated[list[ChatMessage], Meta(min_length=1)] | None = None
    inputs: str | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool = False


class Detokenize(Fields, frozen=True, kw_only=True):
    foreign = unsupported_fields.INVOCATION

    model: str | None = None
    adapter: str | None = None
    adapters: str | list[str | None] | None = None
    tokens: list[TokenId]


class TokenCount(TypedDict):
    """`token_strs`: as the vocabulary writes them, where they were asked for."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class TokenPlace(TypedDict):
    """The characters from `start` to before `stop`."""

    id: int
    text: str
    start: int
    stop: int


class TokensText(TypedDict):
    prompt: str


@post("/tokenize", status_code=200)
async def tokenize(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> TokenCount | list[TokenPlace]:
    """The tokens of a text or a conversation."""
    body, selection = await read_body(request, server, Tokenize)
    forms = {"prompt": body.prompt, "messages": body.messages, "inputs": body.inputs}
    said = [name for name, value in forms.items() if value is not None]
    if len(said) != 1:
        raise BadRequest("say one of `prompt`, `messages` and `inputs`", "prompt")
    adapter = _adapter(server, selection)
    if body.inputs is not None:
        adds = body.add_special_tokens is not False
        places = _places(body.inputs, adds_special=adds)
        return await submitter.ask(adapter, places, len(body.inputs))
    work, size = _reading(server, body, adapter)
    tokens, names = await submitter.ask(adapter, work, size)
    return {
        "count": len(tokens),
        "max_model_len": server.engine.limit,
        "tokens": tokens,
        "token_strs": names,
    }


@post("/detokenize", status_code=200)
async def detokenize(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> TokensText:
    """The text of tokens, special ones too."""
    body, selection = await read_body(request, server, Detokenize)

    def written(tokenizer: Tokenizer) -> str:
        tokenizer.check(body.tokens, "tokens")
        return text_of(tokenizer, body.tokens)

    adapter = _adapter(server, selection)
    return {"prompt": await submitter.ask(adapter, written, len(body.tokens))}


@get("/tokenizer_info")
async def tokenizer_info(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> dict[str, Any]:
    """What a client needs to render chats and to mark ends by itself."""
    adapter = _adapter(server, selected(request, server, AdapterFields()))
    template = server.sidecar(adapter).chat_template
    found = await submitter.ask(adapter, lambda own: facts(own, template), 0)
    return {**found, "model_max_length": server.engine.limit}


def _adapter(server: ServerState, selection: Selection) -> str:
    """Raises UnknownAdapter or UnknownModel for one that is not served."""
    (adapter,) = selection.for_inputs(1)
    if not adapter:
        return adapter
    row = server.engine.status.adapter(adapter)
    if row is not None and row.state is AdapterState.READY:
        return adapter
    reason = row.reason if row is not None else None
    if selection.field == "model":
        raise UnknownModel(adapter, reason)
    error = UnknownAdapter(adapter, reason)
    error.field = selection.field
    raise error


_Read = tuple[list[int], list[str] | None]


def _reading(
    server: ServerState, body: Tokenize, adapter: str
) -> tuple[Callable[[Tokenizer], _Read], int]:
    """What reads the text or the conversation; about its characters."""
    adds, text = body.add_special_tokens, body.prompt

    def named(tokenizer: Tokenizer, tokens: Sequence[int]) -> _Read:
        told = body.return_token_strs
        return list(tokens), vocabulary_names(tokenizer, tokens) if told else None

    if text is not None:
        return (
            lambda own: named(own, own.encode(text, is_whole=adds is False)),
            len(text),
        )
    template = server.sidecar(adapter).chat_template
    talk = Conversation(templated(body.messages or []), template)
    prompt = Prompt(talk, "messages", adds_special=adds)

    def rendered(tokenizer: Tokenizer) -> _Read:
        prompt.encode(tokenizer, _MOST_TOKENS)
        return named(tokenizer, prompt.tokens)

    return rendered, prompt.size


def _places(
    text: str, *, adds_special: bool
) -> Callable[[Tokenizer], list[TokenPlace]]:
    """TGI's form."""

    def read(tokenizer: Tokenizer) -> list[TokenPlace]:
        found = with_places(tokenizer, text, adds_special=adds_special)
        return [
            {"id": token, "text": text[start:stop], "start": start, "stop": stop}
            for token, start, stop in found
        ]

    return read


ROUTES = [tokenize, detokenize, tokenizer_info]
