"""OpenAI's routes: completions and chat completions. HTTP in, HTTP out."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from litestar import Request, Response, post
from litestar.response import Stream

from hotswap.api import error_responses
from hotswap.api.generation_request import GenerationRequest
from hotswap.api.openai_schemas import Chat, Completion, Message
from hotswap.api.openai_shape import Shape, error_body, event, ran, usage
from hotswap.api.prompt import Conversation, Prompt
from hotswap.api.running import Running, collect, primed
from hotswap.api.serving import Injected, Serving
from hotswap.engine.params import GenerationParams
from hotswap.errors import BadRequest


@post("/v1/completions", status_code=200)
async def completions(request: Request, serving: Injected) -> Response:
    """Continue one prompt or several."""
    data, selection = await serving.read(request, Completion)
    items = _items(data)
    serving.check_room(len(items) * (data.n or 1), "prompt")
    prompts = [Prompt(item, "prompt") for item in items]
    adapters = selection.for_inputs(len(prompts))
    shape = Shape("cmpl-", "text_completion", "text_completion", data)
    requests = _requests(serving, data, prompts, adapters)
    running = await serving.open(requests, selection.field)
    return await _answer(request, serving, running, shape)


@post("/v1/chat/completions", status_code=200)
async def chat_completions(request: Request, serving: Injected) -> Response:
    """Answer a conversation in the adapter's template, or the model's own."""
    data, selection = await serving.read(request, Chat)
    serving.check_room(data.n or 1, "n")
    adapters = selection.for_inputs(1)
    prompt = Prompt(_conversation(serving, data, adapters[0]), "messages")
    shape = Shape("chatcmpl-", "chat.completion", "chat.completion.chunk", data)
    requests = _requests(serving, data, [prompt], adapters)
    running = await serving.open(requests, selection.field)
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


def _requests(
    serving: Serving,
    data: Completion | Chat,
    prompts: list[Prompt],
    adapters: list[str],
) -> list[GenerationRequest]:
    """`n` for each prompt, which share it."""
    requests = []
    for prompt, adapter in zip(prompts, adapters, strict=True):
        params = data.to_params(serving.sidecar(adapter))
        requests += [
            GenerationRequest(
                prompt=prompt, adapter=adapter, params=_of_copy(params, number)
            )
            for number in range(data.n or 1)
        ]
    return requests


def _of_copy(params: GenerationParams, number: int) -> GenerationParams:
    """Copies of one prompt must differ, and differ alike on every call."""
    if params.seed is None:
        return params
    return replace(params, seed=params.seed + number)


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
