"""Refusals: the one table of HTTP codes, and every error in the shape of its route."""

import logging
import math
from collections.abc import Mapping

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, NotFoundException

from hotswap.api import djl_shape, openai_shape, vllm
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    BodyTooSlow,
    ClientGone,
    CrossSite,
    GenerationMismatch,
    HotswapError,
    IllegalArgument,
    IllegalNumber,
    InternalError,
    MergeFailed,
    MixFailed,
    NoRoom,
    NotFound,
    NotJson,
    NotKept,
    OtherTokenizer,
    Overloaded,
    PromptTooLong,
    SourceForbidden,
    SourceUnsupported,
    StepFailed,
    StillLoading,
    Stopping,
    UnknownAdapter,
    UnknownEndpoint,
    UnknownModel,
    Vetoed,
)

log = logging.getLogger(__name__)

# The one table of HTTP codes, and what DJL's routes answer differently.
STATUS: dict[type[HotswapError], int] = {
    BadRequest: 400,
    PromptTooLong: 400,
    UnknownModel: 404,
    UnknownAdapter: 404,
    UnknownEndpoint: 404,
    NotFound: 404,
    IllegalArgument: 409,
    IllegalNumber: 409,
    SourceUnsupported: 400,
    SourceForbidden: 403,
    CrossSite: 403,
    NotJson: 415,
    BodyTooSlow: 408,
    ClientGone: 499,  # nginx's; nobody is there to read it
    AdapterExists: 409,
    GenerationMismatch: 409,
    AdapterRefused: 422,
    Vetoed: 422,
    Overloaded: 429,
    InternalError: 500,
    StepFailed: 500,
    MergeFailed: 500,
    MixFailed: 500,
    NotKept: 500,
    OtherTokenizer: 503,
    StillLoading: 503,
    Stopping: 503,
    NoRoom: 507,
}
DJL_STATUS = {
    **STATUS,
    SourceUnsupported: 409,
    AdapterRefused: 424,
    UnknownAdapter: 424,
    UnknownModel: 424,
    Vetoed: 424,
    Overloaded: 503,
}


_FAMILIES = (
    "OpenAI's are /v1/completions, /v1/chat/completions and /v1/models; DJL's "
    "/invocations, /predictions/NAME, /models, /adapters, /workflows and /ping; vLLM's "
    "/v1/load_lora_adapter and /v1/unload_lora_adapter; then /v1/adapters, /v1/events, "
    "/v1/status, /health, /metrics and /schema"
)


def status(error: Exception, table: Mapping[type[HotswapError], int] = STATUS) -> int:
    """The HTTP code of an error, by OpenAI's table if no other, whether or not it is
    one of ours. What may go well later, with nothing changed by who asks, says so."""
    if not isinstance(error, HotswapError):
        return 500
    return 503 if error.is_passing else table.get(type(error), 500)


def ours(request: Request, error: HotswapError) -> Response:
    if isinstance(error, ClientGone):
        log.debug("the client has left path=%r", request.scope["path"])
    code = status(error, DJL_STATUS if _is_djl(request) else STATUS)
    answer = _answer(request, error, code)
    retry_after_s = getattr(error, "retry_after_s", 1.0 if error.is_passing else None)
    if retry_after_s is not None:
        answer.headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    return answer


def theirs(request: Request, error: HTTPException) -> Response:
    """Litestar's own: no such route, another method, a body too large."""
    text = error.detail
    if isinstance(error, NotFoundException):
        path = request.scope["path"][:200]
        text = f"There is no route {path}. {_FAMILIES}."
    answer = _answer(request, HotswapError(text), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def bug(request: Request, error: Exception) -> Response:
    log.exception("unexpected error path=%r", request.scope["path"], exc_info=error)
    return _answer(request, HotswapError("internal error, see the server's log"), 500)


def _answer(request: Request, error: HotswapError, code: int) -> Response:
    """The error in the shape of its route."""
    if _is_djl(request):
        body = djl_shape.error_body(error, code)
    elif request.scope["path"] in vllm.PATHS:
        body = vllm.error_body(error, code)
    else:
        body = openai_shape.error_body(error, code)
    return Response(body, status_code=code, media_type=MediaType.JSON)


def _is_djl(request: Request) -> bool:
    return request.scope["path"].startswith(djl_shape.PATHS)
