"""Error responses: the one table of HTTP codes; every error in its route's shape."""

import logging
import math
from collections.abc import Mapping
from types import MappingProxyType

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, NotFoundException

from hotswap.api import djl_shape, openai_shape, vllm
from hotswap.api.djl_errors import IllegalArgument, IllegalNumber, UnknownEndpoint
from hotswap.api.http_errors import (
    BodyTooSlow,
    ClientGone,
    CrossSite,
    EncodedBody,
    NotJson,
)
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    DeviceFull,
    GenerationMismatch,
    HotswapError,
    InternalError,
    MergeFailed,
    MixFailed,
    NoRenderer,
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
    UnknownModel,
    Vetoed,
)

log = logging.getLogger(__name__)

# `djl_shape.STATUS` has those that DJL's routes change.
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
    EncodedBody: 415,
    BodyTooSlow: 408,
    ClientGone: 499,  # nginx's; nobody is there to read it
    AdapterExists: 409,
    GenerationMismatch: 409,
    AdapterRefused: 422,
    Vetoed: 422,
    Overloaded: 429,
    InternalError: 500,
    StepFailed: 500,
    DeviceFull: 500,
    MergeFailed: 500,
    MixFailed: 500,
    NotKept: 500,
    NoRenderer: 503,
    OtherTokenizer: 503,
    StillLoading: 503,
    Stopping: 503,
    NoRoom: 507,
}
_FAMILIES = (
    "OpenAI's are /v1/completions, /v1/chat/completions and /v1/models; DJL's "
    "/invocations, /predictions/NAME, /models, /adapters, /workflows and /ping; vLLM's "
    "/v1/load_lora_adapter and /v1/unload_lora_adapter; then /v1/adapters, /v1/events, "
    "/v1/status, /health, /metrics and /schema"
)


def status(
    error: Exception, changed: Mapping[type[HotswapError], int] = MappingProxyType({})
) -> int:
    """The HTTP code of an error, whether or not it is one of ours; `changed`: where a
    family of routes has other codes. What may go well later, with nothing changed by
    who asks, says so."""
    if not isinstance(error, HotswapError):
        return 500
    kind = type(error)
    return 503 if error.is_passing else changed.get(kind, STATUS.get(kind, 500))


def known_error(request: Request, error: HotswapError) -> Response:
    """One of our own tree."""
    if isinstance(error, ClientGone):
        log.debug("the client has left path=%r", request.scope["path"])
    code = status(error, djl_shape.STATUS) if _is_djl(request) else status(error)
    answer = _answer(request, error, code)
    retry_after_s = getattr(error, "retry_after_s", 1.0 if error.is_passing else None)
    if retry_after_s is not None:
        answer.headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    return answer


def router_error(request: Request, error: HTTPException) -> Response:
    """Litestar's own: no such route, another method, a body too large."""
    text = error.detail
    if isinstance(error, NotFoundException):
        path = request.scope["path"][:200]
        text = f"There is no route {path}. {_FAMILIES}."
    answer = _answer(request, HotswapError(text), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def unexpected_error(request: Request, error: Exception) -> Response:
    """A bug: the client is told nothing of it, the log all."""
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
