"""DJL Serving's routes: /invocations, /predictions, /models/{m}/invoke, /ping.

    read the body, with the adapter it names -> make requests -> submit -> answer

The shapes are those of its documentation; where its code falls short of it (lists of
adapters, `?adapter=`), the documentation is followed.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.params import FromPath
from litestar.response import Stream

from hotswap.api.djl.schemas import Invocation, Parameters
from hotswap.api.shared.djl_errors import UnknownEndpoint
from hotswap.api.shared.job_request import JobRequest
from hotswap.api.shared.prompt import Prompt
from hotswap.api.shared.request_body import read_body
from hotswap.api.shared.running import Answer, Running, collect, primed
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.api.shared.submission import InjectedSubmitter, Submitter
from hotswap.engine.ticket import Piece
from hotswap.errors import BadRequest

_FINISH = {"eos": "eos_token", "stop": "stop_sequence", "length": "length"}


@post("/invocations", status_code=200)
async def invocations(
    request: Request, server: Injected, submitter: InjectedSubmitter
) -> Response:
    """SageMaker's form."""
    return await _invoke(request, server, submitter)


@post(["/predictions/{model:str}", "/models/{model:str}/invoke"], status_code=200)
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
        server.endpoints.adapter(
            endpoint
        )  # raises UnknownEndpoint before the body is read
    body, selection = await read_body(request, server, Invocation, endpoint)
    texts = [body.inputs] if isinstance(body.inputs, str) else body.inputs
    if not texts:
        raise BadRequest("`inputs` is empty", "inputs")
    submitter.check_room(len(texts), "inputs")
    if body.stream and len(texts) > 1:
        raise BadRequest("`stream` takes one input, not a list of several", "stream")
    requests = [
        JobRequest(
            prompt=Prompt(text, "inputs"),
            adapter=adapter,
            params=body.parameters.to_params(server.sidecar(adapter)),
        )
        for text, adapter in zip(texts, selection.for_inputs(len(texts)), strict=True)
    ]
    running = await submitter.submit(requests, selection.field)
    return await _answer(request, running, body, texts)


async def _answer(
    request: Request, running: Running, body: Invocation, texts: Sequence[str]
) -> Response:
    parameters = body.parameters
    if body.stream:
        lines = await primed(running, _lines(running, parameters, texts[0]))
        return Stream(
            lines, media_type="application/jsonlines", headers=running.headers()
        )
    answers = await collect(request, running)
    items = [
        _whole(answer, parameters, text)
        for answer, text in zip(answers, texts, strict=True)
    ]
    content = items[0] if isinstance(body.inputs, str) else items
    return Response(content, headers=running.headers())


def _whole(answer: Answer, parameters: Parameters, text: str) -> dict[str, Any]:
    prefix = text if parameters.return_full_text else ""
    body: dict[str, Any] = {"generated_text": prefix + answer.text}
    if parameters.details:
        body["details"] = {
            "finish_reason": _FINISH.get(answer.finish or ""),
            "generated_tokens": len(answer.tokens),
            "inputs": text,
            "tokens": [_token(piece) for piece in answer.tokens],
        }
    return body


def _token(piece: Piece) -> dict[str, Any]:
    logprob = piece.scored.logprob if piece.scored else None
    return {"id": piece.token, "text": piece.text, "log_prob": logprob}


async def _lines(
    running: Running, parameters: Parameters, text: str
) -> AsyncIterator[bytes]:
    """One object for each token; the last one adds the whole text."""
    answer = Answer()
    try:
        async for _, piece in running.pieces():
            answer.add(piece)
            line: dict[str, Any] = {"token": _token(piece)}
            if piece.finish is not None:
                line.update(_whole(answer, parameters, text))
            yield msgspec.json.encode(line) + b"\n"
    except Exception as error:
        # The status is out already: DJL's last line says so.
        details = {"finish_reason": "error"}
        body = {"generated_text": "", "error": str(error), "details": details}
        yield msgspec.json.encode(body) + b"\n"
    finally:
        running.close()


ROUTES = [invocations, predictions, ping]
