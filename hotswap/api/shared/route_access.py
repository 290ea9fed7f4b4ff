"""Route access: who may ask which route, where the server has keys. The one table.

    open       anybody: probes, and files that are the same on every server
    inference  whoever has a key
    admin      whoever has an admin key: what changes something, or tells what is here
    metrics    admin, or anybody if `[server] metrics_need_no_key` says so

A route is looked up by the template that the router has matched, so that no way of
writing a path leads around it. One that is not in the table is admin; a test holds that
there is none.
"""

from collections.abc import Mapping
from enum import Enum

from litestar import Request


class Access(Enum):
    OPEN = "open"
    INFERENCE = "inference"
    ADMIN = "admin"
    METRICS = "metrics"


_OPEN = (
    "GET /",
    "GET /page/{name}",
    "GET /health",
    "GET /health/live",
    "GET /health/ready",
    "GET /ping",
    "GET /schema",
    "GET /schema/swagger",
    "GET /schema/openapi.json",
    "GET /schema/oauth2-redirect.html",
    "GET /schema/ui/{file_path}",
    "GET /schema/{path}",  # not found
)
_INFERENCE = (
    "POST /v1/completions",
    "POST /v1/chat/completions",
    "POST /v1/responses",
    "GET /v1/models",
    "GET /v1/models/{model}",
    "POST /",
    "POST /generate",
    "POST /generate_stream",
    "GET /info",
    "POST /invocations",
    "POST /predictions/{model}",
    "POST /endpoints/{model}/invocations",
    "POST /endpoints/{model}/invocations-response-stream",
    "POST /models/{model}/invoke",
    "POST /tokenize",
    "POST /detokenize",
    "GET /tokenizer_info",
    "GET /version",
)
_ADMIN = (
    "GET /v1/adapters",
    "POST /v1/adapters",
    "GET /v1/adapters/{name}",
    "DELETE /v1/adapters/{name}",
    "POST /v1/adapters/validate",
    "POST /v1/adapters/{name}/pin",
    "POST /v1/adapters/{name}/unpin",
    "GET /v1/events",
    "GET /v1/status",
    "POST /v1/load_lora_adapter",
    "POST /v1/unload_lora_adapter",
    "GET /adapters",
    "POST /adapters",
    "GET /adapters/{name}",
    "DELETE /adapters/{name}",
    "GET /adapters/{name}/{rest}",
    "POST /adapters/{name}/{rest}",
    "GET /models",
    "GET /models/{model}",
    "GET /models/{model}/adapters",
    "POST /models/{model}/adapters",
    "GET /models/{model}/adapters/{name}",
    "DELETE /models/{model}/adapters/{name}",
    "GET /models/{model}/adapters/{name}/{rest}",
    "POST /models/{model}/adapters/{name}/{rest}",
    "GET /workflows",
    "POST /workflows",
    "GET /workflows/{name}",
    "DELETE /workflows/{name}",
)
ACCESS: Mapping[str, Access] = {
    **dict.fromkeys(_OPEN, Access.OPEN),
    **dict.fromkeys(_INFERENCE, Access.INFERENCE),
    **dict.fromkeys(_ADMIN, Access.ADMIN),
    "GET /metrics": Access.METRICS,
}


def access(method: str, template: str) -> Access:
    """`template`: a path as the router has it, `/v1/adapters/{name}`. HEAD is GET;
    OPTIONS does nothing, and a browser asks it without a key."""
    if method == "OPTIONS":
        return Access.OPEN
    return ACCESS.get(
        f"{'GET' if method == 'HEAD' else method} {template}", Access.ADMIN
    )


def access_of(request: Request) -> Access:
    """Of a request that was routed."""
    return access(request.method, request.scope["path_template"])
