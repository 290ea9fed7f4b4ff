"""Answering: from a body that was read to the answer, whole or streamed.

make requests -> submit -> answer, for completions and chat alike
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TypeVar

import msgspec
from litestar import MediaType, Request, Response
from litestar.response import Stream

from hotswap.api.openai import contradictions
from hotswap.api.openai.chat_schemas import Chat
from hotswap.api.openai.schemas import Completion
from hotswap.api.openai.shape import ResponseShape, error_body, event, ran, usage
from hotswap.api.shared.grammar_spec import GrammarSpec
from hotswap.api.shared.http_status import status
from hotswap.api.shared.job_request import JobRequest, numbered
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.request_record import note_error
from hotswap.api.shared.running import Running, collect, primed
from hotswap.api.shared.selection import Selection
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter

_Body = TypeVar("_Body", Completion, Chat)


async def generate(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    *,
    body: _Body,
    prompts: Sequence[Prompt],
    selection: Selection,
    grammar: GrammarSpec | None = None,
    shape: Callable[[_Body, str], ResponseShape],
) -> Response:
    """Submit `n` jobs for each prompt and answer with what they say. `grammar`: what
    each answer has to look like. `shape`: of the body and the name of what runs."""
    adapters = selection.for_inputs(len(prompts))
    requests = requests_of(server, body, prompts, adapters, grammar)
    made = shape(body, ran(server, requests, body.model))
    running = await submitter.submit(requests, selection.field)
    made.begin(running)
    return await _answer(request, running, made)


def requests_of(
    server: ServerState,
    body: Completion | Chat,
    prompts: Sequence[Prompt],
    adapters: Sequence[str],
    grammar: GrammarSpec | None,
) -> list[JobRequest]:
    """`n` jobs for each prompt, which share it; `best_of`, where that is more. Raises
    BadRequest for what the fields contradict."""
    contradictions.check(body)
    if grammar is not None:
        grammar.check(stop=body.stop, ignore_eos=body.ignore_eos)
    requests = []
    for prompt, adapter in zip(prompts, adapters, strict=True):
        params = body.to_params(server.sidecar(adapter))
        contradictions.check_params(body, params)
        requests += [
            JobRequest(
                prompt=prompt,
                adapter=adapter,
                params=numbered(params, number),
                grammar=grammar,
                bad_words=tuple(body.bad_words or ()),
            )
            for number in range(body.copies)
        ]
    return requests


async def _answer(request: Request, running: Running, shape: ResponseShape) -> Response:
    if shape.is_streamed:
        chunks = await primed(running, _stream(running, shape))
        return Stream(chunks, media_type="text/event-stream", headers=running.headers())
    answers = await collect(request, running)
    generated = sum(answer.generated for answer in answers)
    used = usage(running.prompt_tokens, generated, running.cached_tokens)

    def encoded() -> bytes:
        return msgspec.json.encode(shape.whole(answers, used))

    # To tell of a long prompt's tokens takes a while.
    is_long = any(answer.tokens[0].prompt for answer in answers)
    content = await asyncio.to_thread(encoded) if is_long else encoded()
    return Response(content, media_type=MediaType.JSON, headers=running.headers())


async def _stream(running: Running, shape: ResponseShape) -> AsyncIterator[bytes]:
    """Server-sent events; the last ones carry the usage, if asked for, and [DONE]."""
    tokens = 0
    try:
        async for index, piece in running.pieces():
            tokens += piece.token is not None
            if piece.prompt:  # to tell of a long one takes a while
                chunk = await asyncio.to_thread(shape.chunk, index, piece)
            else:
                chunk = shape.chunk(index, piece)
            if chunk is not None:
                yield event(chunk)
        if shape.tells_usage:
            used = usage(running.prompt_tokens, tokens, running.cached_tokens)
            yield event(shape.usage_chunk(used))
        yield b"data: [DONE]\n\n"
    except Exception as error:
        note_error(error)
        if not running.has_begun:
            raise
        # The status is out already: the error can only be an event.
        yield event(error_body(error, status(error)))
    finally:
        running.close()
