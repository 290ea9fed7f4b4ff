"""DJL Serving's shape: its envelope, its pages, and how it reads parameters."""

import re
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response

from hotswap.api.shared.djl_errors import (
    IllegalArgument,
    IllegalNumber,
    UnknownEndpoint,
)
from hotswap.api.shared.http_errors import KeyForbids, KeyTooOften, NoKey
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    GenerationMismatch,
    HotswapError,
    NotFound,
    Overloaded,
    SourceUnsupported,
    StillLoading,
    Stopping,
    UnknownAdapter,
    UnknownModel,
    Vetoed,
)

# Errors on these paths have this shape.
PATHS = (
    "/invocations",
    "/predictions",
    "/endpoints",
    "/models",
    "/adapters",
    "/workflows",
    "/ping",
)
MOST_IN_A_PAGE = 100

# The codes that are others than ours.
STATUS: dict[type[HotswapError], int] = {
    SourceUnsupported: 409,
    AdapterRefused: 424,
    UnknownAdapter: 424,
    UnknownModel: 424,
    Vetoed: 424,
    Overloaded: 503,
}
# The names its clients know the errors by: those of Java's classes.
_KINDS: dict[type[Exception], str] = {
    IllegalArgument: "IllegalArgumentException",
    IllegalNumber: "NumberFormatException",
    AdapterExists: "IllegalArgumentException",
    GenerationMismatch: "IllegalArgumentException",
    SourceUnsupported: "IllegalArgumentException",
    UnknownEndpoint: "ModelNotFoundException",
    Overloaded: "WlmCapacityException",
    StillLoading: "WlmCapacityException",
    # DJL has no keys: AWS' names of these.
    NoKey: "UnrecognizedClientException",
    KeyForbids: "AccessDeniedException",
    KeyTooOften: "ThrottlingException",
    Stopping: "WlmShutdownException",
}
# Of the router's own: no such path, another method.
_BY_STATUS = {
    404: ("ResourceNotFoundException", "Requested resource is not found"),
    405: ("MethodNotAllowedException", "Requested method is not allowed"),
}
# DJL's words, as they are.
_HOW_TO_REPLACE = (
    " If you want to replace it, please unregistering before registering a new adapter "
    "with the same name."
)
_NUMBER = re.compile(r"[+-]?[0-9]{1,10}", re.ASCII)
_T = TypeVar("_T")


def error_body(error: Exception, status: int) -> dict[str, Any]:
    """The server's envelope (`type`, `message`) and the handler's (`error`) in one.

    `refusal` is the stable code of a bad adapter.
    """
    text = str(error)
    kind = "BadRequestException" if status < 500 else type(error).__name__
    if type(error) is not HotswapError:
        kind = _KINDS.get(type(error), kind)
    elif status in _BY_STATUS:
        kind, wording = _BY_STATUS[status]
        wording += ", please refer to API document."
        text = f"{wording} {text}" if status == 404 else wording
    elif status >= 500:
        kind = "InternalServerException"
    if isinstance(error, AdapterExists):
        text += _HOW_TO_REPLACE
    body = {"code": status, "type": kind, "message": text, "error": text}
    if isinstance(error, AdapterRefused):
        body["refusal"] = error.code
    return body


def reply(body: Any) -> Response:
    """A success as DJL sends it: indented, with a newline, for no cache to keep."""
    return Response(
        msgspec.json.format(msgspec.json.encode(body), indent=2) + b"\n",
        media_type="application/json",
        headers={
            "pragma": "no-cache",
            "cache-control": "no-cache; no-store, must-revalidate, private",
            "expires": "Thu, 01 Jan 1970 00:00:00 UTC",
        },
    )


def status_reply(text: str, warnings: Sequence[str] = ()) -> Response:
    """DJL's body; ours has `warnings` beside it if there are any."""
    return reply({"status": text, **({"warnings": warnings} if warnings else {})})


def page(request: Request, rows: Sequence[_T]) -> tuple[Sequence[_T], dict[str, str]]:
    """The rows asked for, and the token of the next page if there is one."""
    limit = _integer(request, "limit", MOST_IN_A_PAGE)
    if not 0 <= limit <= MOST_IN_A_PAGE:
        limit = MOST_IN_A_PAGE
    start = max(_integer(request, "next_page_token", 0), 0)
    end = min(start + limit, len(rows))
    return rows[start:end], {"nextPageToken": str(end)} if end < len(rows) else {}


def parameters(request: Request) -> dict[str, list[str]]:
    """All query parameters, each with its values in order."""
    return dict(request.query_params.dict())


def required(given: dict[str, list[str]], name: str) -> str:
    """The parameter's first value. Raises BadRequest if it is absent or empty."""
    value = given.get(name, [""])[0]
    if not value:
        raise BadRequest(f"The parameter {name} is required", name)
    return value


def boolean(text: str) -> bool:
    """As Java's parseBoolean: whatever is not "true" is false."""
    return text.lower() == "true"


def check_model(request: Request, names: Sequence[str]) -> None:
    """Raises NotFound if the path names another model than the one that is served."""
    model = request.path_params.get("model", names[0])
    if model not in names:
        raise NotFound(f"The model {model} was not found")


def _integer(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not _NUMBER.fullmatch(text):
        raise IllegalNumber(text, name)
    return int(text)
