"""Answering: from a body that was read to the answer, whole or streamed.

make requests -> submit -> answer, for completions and chat alike
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from litestar import Request, Response
from litestar.response import Stream

from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.schemas import Completion
from hotswap.api.openai.shape import ResponseShape, error_body, event, ran, usage
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.http_status import status
from hotswap.api.shared.job_request import JobRequest
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.running import Running, collect, primed
from hotswap.api.shared.selection import Selection
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter
from hotswap.sampling_params import SamplingParams


async def generate(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    *,
    body: Completion | Chat,
    prompts: Sequence[Prompt],
    selection: Selection,
    shape: Callable[[Completion | Chat, str], ResponseShape],
    grammar: GrammarSpec | None = None,
) -> Response:
    """Submit `n` jobs for each prompt and answer with what they say. `shape`: of the
    body and the name of what runs. `grammar`: what every answer has to match."""
    adapters = selection.for_inputs(len(prompts))
    requests = _requests(server, body, prompts, adapters, grammar)
    made = shape(body, ran(server, requests, body.model))
    running = await submitter.submit(requests, selection.field)
    made.begin(running)
    return await _answer(request, running, made)


def _requests(
    server: ServerState,
    body: Completion | Chat,
    prompts: Sequence[Prompt],
    adapters: Sequence[str],
    grammar: GrammarSpec | None,
) -> list[JobRequest]:
    """`n` jobs for each prompt, which share it."""
    requests = []
    for prompt, adapter in zip(prompts, adapters, strict=True):
        params = body.to_params(server.sidecar(adapter))
        requests += [
            JobRequest(
                prompt=prompt,
                adapter=adapter,
                params=_seeded(params, number),
                grammar=grammar,
            )
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
    try:
        async for index, piece in running.pieces():
            tokens += 1
            if (chunk := shape.chunk(index, piece)) is not None:
                yield event(chunk)
        if shape.tells_usage:
            yield event(shape.usage_chunk(usage(running, tokens)))
        yield b"data: [DONE]\n\n"
    except Exception as error:
        # The status is out already: the error can only be an event.
        yield event(error_body(error, status(error)))
    finally:
        running.close()
