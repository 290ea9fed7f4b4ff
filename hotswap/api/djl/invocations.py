"""DJL Serving's routes: /invocations, /predictions, /models/{m}/invoke, /ping.

    read the body, with the adapter it names -> make requests -> submit -> answer

or, if the operator brings a handler, whatever that makes of the request (`handled`).

The shapes are those of its documentation; where its code falls short of it (lists of
adapters, `?adapter=`), the documentation is followed.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from functools import partial
from typing import Any

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from hotswap.api.djl.answer_shape import AnswerShape, Body
from hotswap.api.djl.handled import HANDLED, handled
from hotswap.api.djl.schemas import Invocation
from hotswap.api.openai.best_of import best
from hotswap.api.shared.adapter_names import meant, of_endpoint
from hotswap.api.shared.djl_errors import UnknownEndpoint
from hotswap.api.shared.job_request import JobRequest, numbered
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.request_record import note_error
from hotswap.api.shared.running import Answer, Running, collect, primed
from hotswap.api.shared.schemas import convert
from hotswap.api.shared.selection import Selection
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter, Submitter
from hotswap.errors import BadRequest
from hotswap.sampling_params import SamplingParams
from scheduler import BASE

_EVENTS = "text/event-stream"
Content = Body | list[Body]


@post("/invocations", status_code=200, opt=HANDLED)
async def invocations(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """SageMaker's form."""
    return await _invoke(request, server, submitter)


@post(
    [
        "/predictions/{model:str}",
        "/models/{model:str}/invoke",
        "/endpoints/{model:str}/invocations",  # where SageMaker's own clients post
    ],
    status_code=200,
    opt=HANDLED,
)
async def predictions(
    request: Request,
    server: Injected,
    submitter: InjectedSubmitter,
    model: FromPath[str],
) -> Response:
    """The same with the base model, or an endpoint for one adapter, in the path."""
    if model in server.names:
        return await _invoke(request, server, submitter)
    if request.scope["path"].startswith("/models"):
        raise UnknownEndpoint(model)
    return await _invoke(request, server, submitter, endpoint=model)


@get("/ping")
async def ping(server: Injected) -> Response:
    """SageMaker's health check."""
    is_ready = server.health.is_ready
    body = {server.base: {"status": "Healthy" if is_ready else "Unhealthy"}}
    return Response(body, status_code=200 if is_ready else 503)


async def _invoke(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    endpoint: str | None = None,
) -> Response:
    if "handler" in request.headers:
        raise BadRequest("The handler can't be overridden in a request", "handler")
    if endpoint is not None:
        of_endpoint(server, endpoint)  # raises UnknownEndpoint before the body is read
    if server.hooks.handler is not None:
        return await handled(
            request, server, endpoint, partial(_generate, server, submitter)
        )
    body, selection = await read_body(request, server, Invocation, endpoint)
    is_sse = body.stream and _EVENTS in request.headers.get("accept", "")
    running, shapes = await _submit(server, submitter, body, selection, is_sse=is_sse)
    if body.stream:
        lines = await primed(running, _lines(running, shapes[0]))
        media_type = _EVENTS if is_sse else "application/jsonlines"
        return Stream(lines, media_type=media_type, headers=running.headers())
    answers = await collect(request, running)
    return Response(_content(body, shapes, answers), headers=running.headers())


async def _generate(
    server: ServerState, submitter: Submitter, said: Mapping[str, Any], adapter: str
) -> Content:
    """What is answered to a body, by `adapter` if it names none: for a handler."""
    body = convert(dict(said), Invocation)
    if body.stream:
        raise BadRequest("`stream`: what a handler asks for comes whole", "stream")
    name = adapter if body.adapter is None else body.adapter
    own = meant(server, "" if name == BASE else name, "adapter")
    selection = Selection((own,), False, "adapter")
    running, shapes = await _submit(server, submitter, body, selection, is_sse=False)
    try:
        return _content(body, shapes, await running.answers())
    finally:
        running.close()


async def _submit(
    server: ServerState,
    submitter: Submitter,
    body: Invocation,
    selection: Selection,
    *,
    is_sse: bool,
) -> tuple[Running, Sequence[AnswerShape]]:
    """The jobs of a body, accepted, and how each input is answered."""
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    if not texts:
        raise BadRequest("`inputs` is empty", "inputs")
    if body.stream and len(texts) > 1:
        raise BadRequest("`stream` takes one input, not a list of several", "stream")
    _check(body)
    copies = body.parameters.copies
    submitter.check_room(len(texts) * copies, "inputs")
    requests = []
    for text, adapter in zip(texts, selection.for_inputs(len(texts)), strict=True):
        params = body.parameters.to_params(server.sidecar(adapter))
        _check_params(params)
        prompt = Prompt(text, "inputs", truncate=body.parameters.truncate)
        requests += [
            JobRequest(
                prompt=prompt,
                adapter=adapter,
                params=numbered(params, number),
                bad_words=tuple(body.parameters.bad_words or ()),
            )
            for number in range(copies)
        ]
    running = await submitter.submit(requests, selection.field)
    shapes = [
        AnswerShape(
            body.parameters,
            text,
            running.requests[place * copies].prompt.tokens,
            running.tokenizers[place * copies],
            is_sse=is_sse,
        )
        for place, text in enumerate(texts)
    ]
    return running, shapes


def _check(body: Invocation) -> None:
    """Raises BadRequest for what contradicts itself."""
    parameters = body.parameters
    if parameters.best_of is not None and parameters.best_of < (parameters.n or 1):
        raise BadRequest("`best_of` is less than `n`", "parameters.best_of")
    if not body.stream:
        return
    if parameters.copies > 1:
        field = "best_of" if parameters.best_of else "n"
        raise BadRequest(f"`{field}` > 1 cannot be streamed", f"parameters.{field}")
    if parameters.decoder_input_details:
        field = "parameters.decoder_input_details"
        raise BadRequest("`decoder_input_details` cannot be streamed", field)


def _check_params(params: SamplingParams) -> None:
    """The same for what is known with the adapter."""
    most = params.max_tokens
    if most is not None and params.min_tokens > most:
        raise BadRequest(
            f"`min_tokens` is more than the answer may have, {most}",
            "parameters.min_tokens",
        )


def _content(
    body: Invocation, shapes: Sequence[AnswerShape], answers: Sequence[Answer]
) -> Content:
    """One object for one input, a list for a list."""
    told = body.parameters.told
    order = best(answers, candidates=body.parameters.copies, n=told)
    items = []
    for place, shape in enumerate(shapes):
        first, *others = order[place * told : (place + 1) * told]
        items.append(shape.whole(answers[first], [answers[one] for one in others]))
    return items[0] if isinstance(body.inputs, str) else items


async def _lines(running: Running, shape: AnswerShape) -> AsyncIterator[bytes]:
    """One object for each token; the last one adds the whole text."""
    answer = Answer()
    try:
        async for _, piece in running.pieces():
            answer.add(piece)
            yield shape.line(piece, answer)
    except Exception as error:
        note_error(error)
        if not running.has_begun:
            raise
        # The status is out already: DJL's last line says so.
        details = {"finish_reason": "error"}
        yield shape.written(
            {"generated_text": "", "error": str(error), "details": details}
        )
    finally:
        running.close()


ROUTES = [invocations, predictions, ping]
