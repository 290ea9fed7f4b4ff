"""OpenAI's routes: completions and chat completions. HTTP in, HTTP out."""

from collections.abc import AsyncIterator
from typing import Any

from litestar import Request, Response, post
from litestar.response import Stream

from hotswap.adapters.sidecar import Sidecar
from hotswap.api import error_responses
from hotswap.api.openai_shape import Shape, error_body, event, ran, usage
from hotswap.api.prompt import Conversation, Prompt
from hotswap.api.running import Ask, Running, collect, first, primed
from hotswap.api.serving import Injected, Serving
from hotswap.api.wire import Chat, Completion, Message
from hotswap.engine.sampling import SamplingParams
from hotswap.errors import BadRequest

DEFAULT_COMPLETION_TOKENS = 16  # OpenAI's


@post("/v1/completions", status_code=200)
async def completions(request: Request, serving: Injected) -> Response:
    """Continue one prompt or several."""
    data, selection = await serving.read(request, Completion)
    items = _items(data)
    serving.check_room(len(items) * (data.n or 1), "prompt")
    prompts = [Prompt(item, "prompt") for item in items]
    adapters = selection.for_inputs(len(prompts))
    shape = Shape("cmpl-", "text_completion", "text_completion", data)
    asks = _asks(serving, data, prompts, adapters, DEFAULT_COMPLETION_TOKENS)
    running = await serving.open(asks, selection.field)
    return await _answer(request, serving, running, shape)


@post("/v1/chat/completions", status_code=200)
async def chat_completions(request: Request, serving: Injected) -> Response:
    """Answer a conversation in the adapter's template, or the model's own."""
    data, selection = await serving.read(request, Chat)
    serving.check_room(data.n or 1, "n")
    adapters = selection.for_inputs(1)
    prompt = Prompt(_conversation(serving, data, adapters[0]), "messages")
    shape = Shape("chatcmpl-", "chat.completion", "chat.completion.chunk", data)
    asks = _asks(serving, data, [prompt], adapters, None)
    running = await serving.open(asks, selection.field)
    return await _answer(request, serving, running, shape)


async def _answer(
    request: Request, serving: Serving, running: Running, shape: Shape
) -> Response:
    shape.model = ran(serving, running.adapters, shape.data.model)
    if shape.data.stream:
        chunks = await primed(running, _stream(running, shape))
        return Stream(chunks, media_type="text/event-stream", headers=running.headers())
    answers = await collect(request, running)
    choices = [
        shape.whole(i, answer.text, answer.finish) for i, answer in enumerate(answers)
    ]
    used = usage(running, sum(len(answer.tokens) for answer in answers))
    body = {**shape.head(shape.kind), "choices": choices, "usage": used}
    return Response(body, headers=running.headers())


async def _stream(running: Running, shape: Shape) -> AsyncIterator[bytes]:
    """Server-sent events; the last ones carry the usage, if asked for, and [DONE]."""
    tokens = 0
    started: set[int] = set()
    tells_usage = shape.data.stream_options.include_usage
    try:
        async for index, piece in running.pieces():
            tokens += 1
            if piece.text or piece.finish or index not in started:
                chunk = shape.chunk(index, piece, first=index not in started)
                yield event(chunk | {"usage": None} if tells_usage else chunk)
                started.add(index)
        if tells_usage:
            used = usage(running, tokens)
            yield event({**shape.head(shape.chunk_kind), "choices": [], "usage": used})
        yield b"data: [DONE]\n\n"
    except Exception as error:
        # The status is out already: the error can only be an event.
        yield event(error_body(error, error_responses.status(error)))
    finally:
        running.close()


def _asks(
    serving: Serving,
    data: Completion | Chat,
    prompts: list[Prompt],
    adapters: list[str],
    max_tokens: int | None,
) -> list[Ask]:
    """`max_tokens`: what is generated where neither body nor sidecar says; None is all
    that fits."""
    asked = first(data.max_completion_tokens, data.max_tokens)
    asks = []
    for prompt, adapter in zip(prompts, adapters, strict=True):
        sidecar = serving.sidecar(adapter)
        most = first(first(asked, sidecar.max_tokens), max_tokens)
        asks += [
            _ask(data, sidecar, prompt, adapter, max_tokens=most, copy=copy)
            for copy in range(data.n or 1)
        ]
    return asks


def _ask(
    data: Completion | Chat,
    sidecar: Sidecar,
    prompt: Prompt,
    adapter: str,
    *,
    max_tokens: int | None,
    copy: int,
) -> Ask:
    stop = (data.stop,) if isinstance(data.stop, str) else data.stop
    temperature = first(data.temperature, sidecar.temperature)
    sampling = SamplingParams(
        temperature=1.0 if temperature is None else temperature,
        top_p=first(data.top_p, sidecar.top_p) or 1.0,
        top_k=max(first(data.top_k, sidecar.top_k) or 0, 0),
        # Copies of one prompt must differ, and differ alike on every call.
        seed=None if data.seed is None else data.seed + copy,
    )
    return Ask(
        prompt=prompt,
        adapter=adapter,
        max_tokens=max_tokens,
        sampling=sampling,
        stop=sidecar.stop if stop is None else tuple(stop),
        stop_tokens=frozenset(data.stop_token_ids or ()),
        ignore_eos=data.ignore_eos,
        priority=sidecar.priority if data.priority is None else data.priority,
        deadline_s=data.deadline_s,
    )


def _conversation(serving: Serving, data: Chat, adapter: str) -> Conversation:
    messages = [{"role": m.role, "content": _text(m)} for m in data.messages]
    return Conversation(messages, serving.sidecar(adapter).chat_template)


def _items(data: Completion) -> list[Any]:
    """A string, a list of strings, token ids, or a list of token ids: each prompt."""
    prompt = data.prompt
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise BadRequest("`prompt` is empty", "prompt")
    if all(isinstance(item, int) for item in prompt):
        return [prompt]
    if any(isinstance(item, int) for item in prompt):
        raise BadRequest("`prompt` mixes texts and token ids", "prompt")
    return prompt


def _text(message: Message) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content)


ROUTES = [completions, chat_completions]
