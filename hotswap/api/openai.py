"""OpenAI's routes: completions, chat completions, models. HTTP in, HTTP out."""

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.response import Stream

from hotswap.adapters.listing import AdapterState
from hotswap.api.selection import select
from hotswap.api.serving import Ask, Injected, Running, Serving, collect, named, primed
from hotswap.api.wire import Chat, Completion, Message, decode, refuse_unsupported
from hotswap.engine.sampling import SamplingParams
from hotswap.engine.ticket import Piece
from hotswap.errors import BadRequest, ClientError

DEFAULT_COMPLETION_TOKENS = 16  # OpenAI's


def error_body(error: Exception, status: int, kind: str) -> dict[str, Any]:
    """OpenAI's envelope, with vLLM's integer `code`."""
    return {
        "error": {
            "message": str(error),
            "type": kind,
            "param": error.field if isinstance(error, ClientError) else None,
            "code": status,
        }
    }


@post("/v1/completions", status_code=200)
async def completions(request: Request, serving: Injected) -> Response:
    """Continue one prompt or several."""
    data = decode(await request.body(), Completion)
    refuse_unsupported(data)
    prompts = _prompts(data, serving)
    max_tokens = data.max_tokens or DEFAULT_COMPLETION_TOKENS
    shape = _Shape("cmpl-", "text_completion", "text_completion", data, serving)
    return await _generate(request, shape, prompts, max_tokens, field="prompt")


@post("/v1/chat/completions", status_code=200)
async def chat_completions(request: Request, serving: Injected) -> Response:
    """Answer a conversation in the model's own template."""
    data = decode(await request.body(), Chat)
    refuse_unsupported(data)
    messages = [{"role": m.role, "content": _text(m)} for m in data.messages]
    prompt = serving.tokenizer.encode_chat(messages)
    max_tokens = data.max_completion_tokens or data.max_tokens
    shape = _Shape(
        "chatcmpl-", "chat.completion", "chat.completion.chunk", data, serving
    )
    return await _generate(request, shape, [prompt], max_tokens, field="messages")


@get("/v1/models")
async def models(serving: Injected) -> dict[str, Any]:
    """The base model first, then every adapter that is ready, as vLLM's cards."""
    cards = [_card(serving.base, None, serving, serving.limit)]
    for adapter in serving.engine.status.adapters:
        if adapter.state is AdapterState.READY:
            cards.append(_card(adapter.name, serving.base, serving, None))
    return {"object": "list", "data": cards}


def _card(
    name: str, parent: str | None, serving: Serving, context: int | None
) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": serving.started_at,
        "owned_by": "hotswap",
        "root": name,
        "parent": parent,
        "max_model_len": context,
    }


async def _generate(
    request: Request,
    shape: "_Shape",
    prompts: list[list[int]],
    max_tokens: int | None,
    *,
    field: str,
) -> Response:
    data, serving = shape.data, shape.serving
    names = named(
        request, adapters=data.adapters, adapter=data.adapter, model=data.model
    )
    adapters, selected_by = select(names, serving.base, len(prompts))
    serving.tokenizer.checked(data.stop_token_ids or [], "stop_token_ids")
    asks = [
        _ask(data, prompt, adapter, max_tokens, copy)
        for prompt, adapter in zip(prompts, adapters, strict=True)
        for copy in range(data.n or 1)
    ]
    running = await serving.open(asks, field, selected_by)
    shape.model = data.model or adapters[0] or serving.base
    if data.stream:
        chunks = await primed(running, _stream(running, shape))
        return Stream(chunks, media_type="text/event-stream", headers=running.headers())
    answers = await collect(request, running)
    choices = [
        shape.whole(i, answer.text, answer.finish) for i, answer in enumerate(answers)
    ]
    used = _usage(running, sum(len(answer.tokens) for answer in answers))
    body = {**shape.head(shape.kind), "choices": choices, "usage": used}
    return Response(body, headers=running.headers())


async def _stream(running: Running, shape: "_Shape") -> AsyncIterator[bytes]:
    """Server-sent events; the last ones carry the usage, if asked for, and [DONE]."""
    tokens = 0
    started: set[int] = set()
    try:
        async for index, piece in running.pieces():
            tokens += 1
            if piece.text or piece.finish or index not in started:
                yield _event(shape.chunk(index, piece, first=index not in started))
                started.add(index)
        options = shape.data.stream_options
        if options is not None and options.include_usage:
            used = _usage(running, tokens)
            yield _event({**shape.head(shape.chunk_kind), "choices": [], "usage": used})
        yield b"data: [DONE]\n\n"
    except Exception as error:
        # The status is out already: the error can only be an event.
        yield _event(error_body(error, 500, type(error).__name__))
    finally:
        running.close()


@dataclass(slots=True)
class _Shape:
    """How completions and chat completions differ on the way out."""

    prefix: str
    kind: str
    chunk_kind: str
    data: Completion | Chat
    serving: Serving
    model: str = ""
    id: str = ""
    created: int = 0

    def __post_init__(self) -> None:
        self.id = self.prefix + uuid.uuid4().hex
        self.created = int(time.time())

    def head(self, kind: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
        }

    def whole(self, index: int, text: str, finish: str) -> dict[str, Any]:
        choice = {"index": index, "finish_reason": finish, "logprobs": None}
        if isinstance(self.data, Chat):
            return {**choice, "message": {"role": "assistant", "content": text}}
        return {**choice, "text": text}

    def chunk(self, index: int, piece: Piece, *, first: bool) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": index,
            "finish_reason": piece.finish,
            "logprobs": None,
        }
        if isinstance(self.data, Chat):
            role = {"role": "assistant"} if first else {}
            choice["delta"] = {**role, "content": piece.text}
        else:
            choice["text"] = piece.text
        return {**self.head(self.chunk_kind), "choices": [choice]}


def _ask(
    data: Completion | Chat,
    prompt: list[int],
    adapter: str,
    max_tokens: int | None,
    copy: int,
) -> Ask:
    stop = (data.stop,) if isinstance(data.stop, str) else tuple(data.stop or ())
    sampling = SamplingParams(
        temperature=1.0 if data.temperature is None else data.temperature,
        top_p=data.top_p or 1.0,
        top_k=max(data.top_k or 0, 0),
        # Copies of one prompt must differ, and differ alike on every call.
        seed=None if data.seed is None else data.seed + copy,
    )
    return Ask(
        prompt=prompt,
        adapter=adapter,
        max_tokens=max_tokens,
        sampling=sampling,
        stop=stop,
        stop_tokens=frozenset(data.stop_token_ids or ()),
        ignore_eos=data.ignore_eos,
    )


def _prompts(data: Completion, serving: Serving) -> list[list[int]]:
    """A string, a list of strings, token ids, or a list of token ids."""
    prompt = data.prompt
    if isinstance(prompt, str):
        items: list[Any] = [prompt]
    elif prompt and all(isinstance(item, int) for item in prompt):
        items = [prompt]
    else:
        items = prompt
    if not items:
        raise BadRequest("`prompt` is empty", "prompt")
    prompts = []
    for item in items:
        if isinstance(item, int):
            raise BadRequest("`prompt` mixes texts and token ids", "prompt")
        if isinstance(item, str):
            # An empty text is refused even where the tokenizer adds a start token.
            prompts.append(serving.tokenizer.encode(item) if item else [])
        else:
            prompts.append(serving.tokenizer.checked(item, "prompt"))
    return prompts


def _text(message: Message) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    for part in message.content:
        if part.type != "text" or part.text is None:
            raise BadRequest(
                f"`messages`: a content part of type {part.type!r} is not supported",
                "messages",
            )
    return "".join(part.text or "" for part in message.content)


def _usage(running: Running, tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": running.prompt_tokens,
        "completion_tokens": tokens,
        "total_tokens": running.prompt_tokens + tokens,
    }


def _event(body: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(body) + b"\n\n"


ROUTES = [completions, chat_completions, models]
