"""OpenAI's routes: completions and chat completions. HTTP in, HTTP out.

read the body, with the adapter it names -> make requests -> submit -> answer
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

from litestar import Request, Response, post
from litestar.response import Stream

from hotswap.api import error_responses
from hotswap.api.job_request import JobRequest
from hotswap.api.openai_schemas import Chat, ChatMessage, Completion
from hotswap.api.openai_shape import ResponseShape, error_body, event, ran, usage
from hotswap.api.prompt import Conversation, Prompt
from hotswap.api.request_body import read_body
from hotswap.api.running import Running, collect, primed
from hotswap.api.selection import Selection
from hotswap.api.server_state import Injected, ServerState
from hotswap.api.submission import InjectedSubmitter, Submitter
from hotswap.errors import BadRequest
from hotswap.sampling_params import SamplingParams


@post("/v1/completions", status_code=200)
async def completions(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Continue one prompt or several."""
    body, selection = await read_body(request, server, Completion)
    texts = _texts(body)
    submitter.check_room(len(texts) * (body.n or 1), "prompt")
    prompts = [Prompt(text, "prompt") for text in texts]
    return await _generate(
        request,
        server,
        submitter,
        body=body,
        prompts=prompts,
        selection=selection,
    )


@post("/v1/chat/completions", status_code=200)
async def chat_completions(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """Answer a conversation in the adapter's template, or the model's own."""
    body, selection = await read_body(request, server, Chat)
    submitter.check_room(body.n or 1, "n")
    (adapter,) = selection.for_inputs(1)
    prompt = Prompt(_conversation(server, body, adapter), "messages")
    return await _generate(
        request,
        server,
        submitter,
        body=body,
        prompts=[prompt],
        selection=selection,
    )


def _texts(body: Completion) -> Sequence[str | Sequence[int]]:
    """A string, a list of strings, token ids, or a list of token ids: each prompt."""
    prompt = body.prompt
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise BadRequest("`prompt` is empty", "prompt")
    tokens = [item for item in prompt if isinstance(item, int)]
    if not tokens:
        return [item for item in prompt if not isinstance(item, int)]
    if len(tokens) < len(prompt):
        raise BadRequest("`prompt` mixes texts and token ids", "prompt")
    return [tokens]


def _conversation(server: ServerState, body: Chat, adapter: str) -> Conversation:
    messages = [{"role": m.role, "content": _content(m)} for m in body.messages]
    return Conversation(messages, server.sidecar(adapter).chat_template)


def _content(message: ChatMessage) -> str:
    if isinstance(message.content, str):
        return message.content
    return "".join(part.text for part in message.content)


async def _generate(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    *,
    body: Completion | Chat,
    prompts: Sequence[Prompt],
    selection: Selection,
) -> Response:
    requests = _requests(server, body, prompts, selection.for_inputs(len(prompts)))
    shape = ResponseShape(body, ran(server, requests, body.model))
    running = await submitter.submit(requests, selection.field)
    return await _answer(request, running, shape)


def _requests(
    server: ServerState,
    body: Completion | Chat,
    prompts: Sequence[Prompt],
    adapters: Sequence[str],
) -> list[JobRequest]:
    """`n` jobs for each prompt, which share it."""
    requests = []
    for prompt, adapter in zip(prompts, adapters, strict=True):
        params = body.to_params(server.sidecar(adapter))
        requests += [
            JobRequest(prompt=prompt, adapter=adapter, params=_seeded(params, number))
            for number in range(body.n or 1)
        ]
    return requests


def _seeded(params: SamplingParams, number: int) -> SamplingParams:
    """Copies of one prompt must differ, and differ alike on every call."""
    if params.seed is None:
        return params
    return replace(params, seed=params.seed + number)


async def _answer(request: Request, running: Running, shape: ResponseShape) -> Response:
    if shape.is_streamed:
        chunks = await primed(running, _stream(running, shape))
        return Stream(chunks, media_type="text/event-stream", headers=running.headers())
    answers = await collect(request, running)
    used = usage(running, sum(len(answer.tokens) for answer in answers))
    return Response(shape.whole(answers, used), headers=running.headers())


async def _stream(running: Running, shape: ResponseShape) -> AsyncIterator[bytes]:
    """Server-sent events; the last ones carry the usage, if asked for, and [DONE]."""
    tokens = 0
    started: set[int] = set()
    try:
        async for index, piece in running.pieces():
            tokens += 1
            if piece.text or piece.finish or index not in started:
                yield event(shape.chunk(index, piece, first=index not in started))
                started.add(index)
        if shape.tells_usage:
            yield event(shape.usage_chunk(usage(running, tokens)))
        yield b"data: [DONE]\n\n"
    except Exception as error:
        # The status is out already: the error can only be an event.
        yield event(error_body(error, error_responses.status(error)))
    finally:
        running.close()


ROUTES = [completions, chat_completions]
