"""SageMaker's shape: errors of /endpoints, as its service words them.

SageMaker answers for itself (ValidationError, ServiceUnavailable), and tells what the
container behind it refused as a ModelError with the container's answer in it. Here the
container is what /invocations answers.
"""

from typing import Any

import msgspec
from litestar import MediaType, Response

from hotswap.api.djl import shape
from hotswap.api.djl.sagemaker_headers import PREFIX
from hotswap.api.shared.djl_errors import UnknownEndpoint
from hotswap.api.shared.http_errors import KeyForbids, KeyInQuery, KeyTooOften, NoKey
from hotswap.errors import ClientError, HotswapError

# Errors below this path have this shape.
PATH = "/endpoints/"
# What AWS' services answer before they look at what is asked, each with its own code.
_OF_ACCESS = (NoKey, KeyForbids, KeyTooOften, KeyInQuery)


def error_answer(error: HotswapError, status: int) -> Response:
    """`status`: that of /invocations. AWS' clients take the kind from the header."""
    said: dict[str, Any] = {"Message": str(error)}
    if isinstance(error, _OF_ACCESS):
        kind = str(shape.error_body(error, status)["type"])
    elif type(error) is HotswapError and status in (404, 405):  # the router's
        kind = "UnknownOperationException"
    elif status >= 500:
        kind = "ServiceUnavailable" if status == 503 else "InternalFailure"
    elif _is_services(error):
        kind, status = "ValidationError", 400
    else:
        inner = msgspec.json.encode(shape.error_body(error, status)).decode()
        told = f'Received client error ({status}) from primary with message "{inner}"'
        said = {
            "Message": told,
            "OriginalStatusCode": status,
            "OriginalMessage": inner,
            "LogStreamArn": "",
        }
        kind, status = "ModelError", 424
    return Response(
        said,
        status_code=status,
        media_type=MediaType.JSON,
        headers={"x-amzn-errortype": kind},
    )


def _is_services(error: HotswapError) -> bool:
    """Whether SageMaker would not have asked the container: no such endpoint, or a
    header of its own that names nothing, or asks for what is not here."""
    if isinstance(error, UnknownEndpoint):
        return True
    field = error.field if isinstance(error, ClientError) else None
    return (field or "").lower().startswith(PREFIX.lower())
