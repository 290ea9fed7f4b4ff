"""vLLM's routes for adapters: load, unload and the list of models.

Its bodies and texts. Unlike vLLM's, a bad adapter is the client's error (4xx), a load
in place waits for nobody and mixes nothing, and `expected_generation` makes a load
compare first.
"""

from typing import Any

from litestar import Request, get, post
from msgspec import Struct

from hotswap.adapters.listing import AdapterState
from hotswap.adapters.origin import Origin
from hotswap.api import changes
from hotswap.api.serving import Injected, Serving
from hotswap.api.wire import decode
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    ClientError,
    GenerationMismatch,
    NotFound,
    SourceForbidden,
    SourceUnsupported,
    UnknownAdapter,
)
from scheduler import BASE

# Errors on these paths have this shape.
PATHS = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
_KINDS: dict[type[Exception], str] = {
    BadRequest: "InvalidUserInput",
    NotFound: "NotFoundError",
    AdapterRefused: "BadRequestError",
    GenerationMismatch: "ConflictError",
    SourceForbidden: "PermissionDeniedError",
    SourceUnsupported: "BadRequestError",
}


class Load(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lora_name: str = ""
    lora_path: str = ""
    load_inplace: bool = False
    is_3d_lora_weight: bool = False
    expected_generation: str | None = None


class Unload(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lora_name: str = ""
    lora_int_id: int | None = None  # of no effect in vLLM either


def error_body(error: Exception, status: int, kind: str) -> dict[str, Any]:
    """OpenAI's envelope with vLLM's types. `refusal` is the stable code of a bad
    adapter."""
    body = {
        "message": str(error),
        "type": _KINDS.get(type(error), kind),
        "param": error.field if isinstance(error, ClientError) else None,
        "code": status,
    }
    if isinstance(error, AdapterRefused):
        body["refusal"] = error.code
    return {"error": body}


@post("/v1/load_lora_adapter", status_code=200, media_type="text/plain")
async def load(request: Request, serving: Injected) -> str:
    """Serve a folder under a name; the reply comes when it can be used."""
    changes.check_enabled(serving)
    body = decode(await request.body(), Load)
    name, path = body.lora_name, body.lora_path
    if not name or not path:
        raise BadRequest("Both 'lora_name' and 'lora_path' must be provided.")
    if name in (BASE, serving.base):
        raise BadRequest(
            f"The lora adapter '{name}' conflicts with a served base model.",
            "lora_name",
        )
    if body.is_3d_lora_weight:
        raise BadRequest("`is_3d_lora_weight` is not supported", "is_3d_lora_weight")
    try:
        await changes.register(
            serving,
            name,
            Origin(src=path),
            replace=body.load_inplace,
            expected=body.expected_generation,
        )
    except AdapterExists:
        raise BadRequest(
            f"The lora adapter '{name}' has already been loaded. If you want to load "
            "the adapter in place, set 'load_inplace' to True.",
            "lora_name",
        ) from None
    except AdapterRefused as error:
        if error.code in ("no_source", "no_config"):
            raise NotFound(str(error), "lora_path") from None
        raise
    warned = "".join(f"\nWarning: {w}" for w in changes.warnings(serving, name))
    return f"Success: LoRA adapter '{name}' added successfully.{warned}"


@post("/v1/unload_lora_adapter", status_code=200, media_type="text/plain")
async def unload(request: Request, serving: Injected) -> str:
    """Forget a name; the requests that it answers now are answered to their end."""
    changes.check_enabled(serving)
    name = decode(await request.body(), Unload).lora_name
    if not name:
        raise BadRequest("'lora_name' needs to be provided to unload a LoRA adapter.")
    try:
        await changes.unregister(serving, name)
    except UnknownAdapter:
        text = f"The lora adapter '{name}' cannot be found."
        raise NotFound(text, "lora_name") from None
    return f"Success: LoRA adapter '{name}' removed successfully."


@get("/v1/models")
async def models(serving: Injected) -> dict[str, Any]:
    """The base model first, then every adapter that is served and every alias."""
    base = serving.base
    cards = [_card(serving, base, None, serving.model_url, serving.limit)]
    rows = {
        row.name: row
        for row in serving.engine.status.adapters
        if row.state is AdapterState.READY
    }
    for name, row in rows.items():
        cards.append(_card(serving, name, base, serving.source(row)))
    for alias, name in sorted(serving.library.aliases.items()):
        if name in rows:
            cards.append(_card(serving, alias, base, serving.source(rows[name])))
    return {"object": "list", "data": cards}


def _card(
    serving: Serving,
    name: str,
    parent: str | None,
    root: str,
    context: int | None = None,
) -> dict[str, Any]:
    permission = {
        "id": f"modelperm-{name}",
        "object": "model_permission",
        "created": serving.started_at,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": serving.started_at,
        "owned_by": "hotswap",
        "root": root,
        "parent": parent,
        "max_model_len": context,
        "permission": [permission],
    }


ROUTES = [load, unload, models]
