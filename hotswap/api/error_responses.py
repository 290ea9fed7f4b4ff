"""Error responses: every error in its route's shape, with its code of `http_status`."""

import logging
import math
import re
from collections.abc import Mapping

from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, NotFoundException

from hotswap.api import vllm
from hotswap.api.djl import sagemaker_shape
from hotswap.api.djl import shape as djl_shape
from hotswap.api.openai import shape as openai_shape
from hotswap.api.shared.http_errors import ClientGone
from hotswap.api.shared.http_status import status
from hotswap.api.shared.request_record import note_error
from hotswap.api.tgi import shape as tgi_shape
from hotswap.errors import HotswapError

log = logging.getLogger(__name__)

# What clients of wider servers ask for, and what they would get.
_ELSEWHERE = re.compile(
    r"/(v1/|v2/)?(embeddings|embed|rerank|score|pooling|classify|audio/.*|images/.*"
    r"|moderations|realtime|batches|files|fine_tuning/.*|assistants|threads)(/.*)?"
)
_WHAT_THIS_IS = (
    "hotswap generates text, by one causal language model and its LoRA adapters: it "
    "has no embeddings, scores, classes, sound, images or files. "
)
_FAMILIES = (
    "OpenAI's are /v1/completions, /v1/chat/completions, /v1/responses and /v1/models; "
    "DJL's /invocations, /predictions/NAME, /models, /adapters, /workflows and /ping; "
    "SageMaker's /endpoints/NAME/invocations and -response-stream; vLLM's "
    "/v1/load_lora_adapter, /v1/unload_lora_adapter, /tokenize, /detokenize, "
    "/tokenizer_info and /version; TGI's and LoRAX' /, /generate, /generate_stream and "
    "/info; then /v1/adapters, /v1/events, "
    "/v1/status, /health, /metrics and /schema"
)


def known_error(request: Request, error: HotswapError) -> Response:
    """One of our own tree."""
    note_error(error)
    if isinstance(error, ClientGone):
        log.debug("the client has left path=%r", request.scope["path"])
    code = status(error, _changed(request))
    answer = _answer(request, error, code)
    retry_after_s = getattr(error, "retry_after_s", 1.0 if error.is_passing else None)
    if retry_after_s is not None:
        answer.headers["retry-after"] = str(max(1, math.ceil(retry_after_s)))
    challenge = getattr(error, "challenge", None)
    if challenge is not None:
        answer.headers["www-authenticate"] = challenge
    return answer


def router_error(request: Request, error: HTTPException) -> Response:
    """Litestar's own: no such route, another method, a body too large."""
    note_error(error)
    text = error.detail
    if isinstance(error, NotFoundException):
        path = request.scope["path"][:200]
        what = _WHAT_THIS_IS if _ELSEWHERE.fullmatch(path) else ""
        text = f"There is no route {path}. {what}{_FAMILIES}."
    answer = _answer(request, HotswapError(text), error.status_code)
    answer.headers.update(error.headers or {})
    return answer


def unexpected_error(request: Request, error: Exception) -> Response:
    """A bug: the client is told nothing of it, the log all."""
    note_error(error)
    log.exception("unexpected error path=%r", request.scope["path"], exc_info=error)
    return _answer(request, HotswapError("internal error, see the server's log"), 500)


def _answer(request: Request, error: HotswapError, code: int) -> Response:
    """The error in the shape of its route."""
    if request.scope["path"].startswith(sagemaker_shape.PATH):
        return sagemaker_shape.error_answer(error, code)
    if _is_djl(request):
        body = djl_shape.error_body(error, code)
    elif request.scope["path"] in tgi_shape.PATHS:
        body = tgi_shape.error_body(error, code)
    elif request.scope["path"] in vllm.PATHS:
        body = vllm.error_body(error, code)
    else:
        body = openai_shape.error_body(error, code)
    return Response(body, status_code=code, media_type=MediaType.JSON)


def _changed(request: Request) -> Mapping[type[HotswapError], int]:
    """The codes of its family that are others than ours."""
    if _is_djl(request):
        return djl_shape.STATUS
    return tgi_shape.STATUS if request.scope["path"] in tgi_shape.PATHS else {}


def _is_djl(request: Request) -> bool:
    return request.scope["path"].startswith(djl_shape.PATHS)
