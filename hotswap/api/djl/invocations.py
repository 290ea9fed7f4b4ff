"""DJL Serving's routes: /invocations, /predictions, /models/{m}/invoke, /ping.

    read the body, with the adapter it names -> make requests -> submit -> answer

The shapes are those of its documentation; where its code falls short of it (lists of
adapters, `?adapter=`), the documentation is followed. `sagemaker` has more routes that
answer so, and `openai_bodies` what is answered in OpenAI's shape.
"""

from collections.abc import AsyncIterator, Sequence

from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from hotswap.api.djl.answer_shape import AnswerShape
from hotswap.api.djl.openai_bodies import EVENTS, LINES, answer_openai
from hotswap.api.djl.sagemaker_headers import accepted, check_headers
from hotswap.api.djl.schemas import Invocation
from hotswap.api.openai.best_of import best
from hotswap.api.shared.adapter_names import of_endpoint
from hotswap.api.shared.djl_errors import UnknownEndpoint, input_refusals
from hotswap.api.shared.job_request import JobRequest, numbered
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.request_record import GENERATES, note_error
from hotswap.api.shared.running import Answer, Running, collect, primed
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter, Submitter
from hotswap.errors import BadRequest
from hotswap.sampling_params import SamplingParams


@post("/invocations", status_code=200, opt=GENERATES)
async def invocations(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """SageMaker's form."""
    return await _invoke(request, server, submitter)


@post(
    ["/predictions/{model:str}", "/models/{model:str}/invoke"],
    status_code=200,
    opt=GENERATES,
)
async def predictions(
    request: Request,
    server: Injected,
    submitter: InjectedSubmitter,
    model: FromPath[str],
) -> Response:
    """The same with the base model, or an endpoint for one adapter, in the path."""
    if model not in server.names and request.scope["path"].startswith("/models"):
        raise UnknownEndpoint(model)
    return await invoke_named(request, server, submitter, model)


@get("/ping")
async def ping(server: Injected) -> Response:
    """SageMaker's health check."""
    is_ready = server.health.is_ready
    body = {server.base: {"status": "Healthy" if is_ready else "Unhealthy"}}
    return Response(body, status_code=200 if is_ready else 503)


async def invoke_named(
    request: Request, server: ServerState, submitter: Submitter, name: str
) -> Response:
    """`name`: of the base model, or of an endpoint. Raises UnknownEndpoint."""
    endpoint = None if name in server.names else name
    return await _invoke(request, server, submitter, endpoint)


async def _invoke(
    request: Request,
    server: ServerState,
    submitter: Submitter,
    endpoint: str | None = None,
) -> Response:
    if "handler" in request.headers:
        raise BadRequest("The handler can't be overridden in a request", "handler")
    check_headers(request)
    if endpoint is not None:
        of_endpoint(server, endpoint)  # raises UnknownEndpoint before the body is read
    with input_refusals():
        answer = await answer_openai(request, server, submitter, endpoint)
        if answer is not None:
            return answer
        return await _generate(request, server, submitter, endpoint)


async def _generate(
    request: Request, server: ServerState, submitter: Submitter, endpoint: str | None
) -> Response:
    """The answer to a body of DJL's own."""
    body, selection = await read_body(request, server, Invocation, endpoint)
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
    return await _answer(request, running, body, texts)


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


async def _answer(
    request: Request, running: Running, body: Invocation, texts: Sequence[str]
) -> Response:
    parameters = body.parameters
    copies = parameters.copies
    shapes = [
        AnswerShape(
            parameters,
            text,
            running.requests[place * copies].prompt.tokens,
            running.tokenizers[place * copies],
            is_sse=body.stream and EVENTS in accepted(request),
        )
        for place, text in enumerate(texts)
    ]
    if body.stream:
        lines = await primed(running, _lines(running, shapes[0]))
        media_type = EVENTS if shapes[0].is_sse else LINES
        return Stream(lines, media_type=media_type, headers=running.headers())
    answers = await collect(request, running)
    told = parameters.told
    order = best(answers, candidates=copies, n=told)
    items = []
    for place, shape in enumerate(shapes):
        first, *others = order[place * told : (place + 1) * told]
        items.append(shape.whole(answers[first], [answers[one] for one in others]))
    content = items[0] if isinstance(body.inputs, str) else items
    return Response(content, headers=running.headers())


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
        yield shape.failed(error)  # the status is out already
    finally:
        running.close()


ROUTES = [invocations, predictions, ping]
