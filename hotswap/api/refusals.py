"""Refusals: the one table of HTTP codes, and every error in the shape of its route."""

import logging
from http import HTTPStatus

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from hotswap.api import djl_shape, openai_shape, vllm
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    GenerationMismatch,
    HotswapError,
    IllegalArgument,
    IllegalNumber,
    MergeFailed,
    NoRoom,
    NotFound,
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
    AdapterExists: 409,
    GenerationMismatch: 409,
    AdapterRefused: 422,
    Vetoed: 422,
    Overloaded: 429,
    StepFailed: 500,
    MergeFailed: 500,
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


def ours(request: Request, error: HotswapError) -> Response:
    answer = _answer(request, error, type(error))
    if isinstance(error, StillLoading):
        answer.headers["retry-after"] = str(round(error.retry_after_s))
    return answer


def theirs(request: Request, error: HTTPException) -> Response:
    """Litestar's own: no such route, another method, a body too large."""
    answer = _answer(request, HotswapError(error.detail), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def bug(request: Request, error: Exception) -> Response:
    log.exception("unexpected error path=%s", request.url.path, exc_info=error)
    return _answer(request, HotswapError("internal error, see the server's log"), 500)


def _answer(
    request: Request, error: HotswapError, what: type[HotswapError] | int
) -> Response:
    """The error in the shape of its route. `what` is looked up in the table, or the
    status itself."""
    path = request.url.path
    is_djl = path.startswith(djl_shape.PATHS)
    if isinstance(what, int):
        status, kind = what, HTTPStatus(what).phrase.replace(" ", "")
    else:
        status, kind = (DJL_STATUS if is_djl else STATUS)[what], what.__name__
    shape = openai_shape.error_body
    if is_djl:
        shape = djl_shape.error_body
    elif path in vllm.PATHS:
        shape = vllm.error_body
    body = shape(error, status, kind)
    return Response(body, status_code=status, media_type=MediaType.JSON)
