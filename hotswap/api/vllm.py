"""vLLM's routes for adapters: load and unload.

Its bodies and texts. Unlike vLLM's, a bad adapter is the client's error (4xx), a load
in place waits for nobody and mixes nothing, and `expected_generation` makes a load
compare first.
"""

from typing import Any

from litestar import Request, post

from hotswap.adapters.origin import Origin
from hotswap.api.openai import shape as openai_shape
from hotswap.api.shared import registration
from hotswap.api.shared.schemas import Fields, decode
from hotswap.api.shared.server_state import Injected
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    NotFound,
    UnknownAdapter,
)
from hotswap.library.orders import Registration
from scheduler import BASE

# Errors on these paths have this shape.
PATHS = ("/v1/load_lora_adapter", "/v1/unload_lora_adapter")
_WORDS = {"name": "lora_name", "src": "lora_path"}


class LoadRequest(Fields, frozen=True, kw_only=True):
    lora_name: str = ""
    lora_path: str = ""
    load_inplace: bool = False
    is_3d_lora_weight: bool = False
    expected_generation: str | None = None

    def order(self) -> Registration:
        return Registration(
            name=self.lora_name,
            origin=Origin(src=self.lora_path),
            replace=self.load_inplace,
            expected=self.expected_generation,
        )


class UnloadRequest(Fields, frozen=True, kw_only=True):
    lora_name: str = ""
    lora_int_id: int | None = None  # of no effect in vLLM either


def error_body(error: Exception, status: int) -> dict[str, Any]:
    """OpenAI's envelope; vLLM has a type of its own for a bad field. `refusal` is the
    stable code of a bad adapter."""
    body = openai_shape.error_body(error, status)
    if isinstance(error, BadRequest):
        body["error"]["type"] = "InvalidUserInput"
    if isinstance(error, AdapterRefused):
        body["error"]["refusal"] = error.code
    return body


@post("/v1/load_lora_adapter", status_code=200, media_type="text/plain")
async def load(request: Request, server: Injected) -> str:
    """Serve a folder under a name; the reply comes when it can be used."""
    registration.check_enabled(server)
    body = decode(await request.body(), LoadRequest)
    name = body.lora_name
    if not name or not body.lora_path:
        raise BadRequest("Both 'lora_name' and 'lora_path' must be provided.")
    if name == BASE or name in server.names:
        raise BadRequest(
            f"The lora adapter '{name}' conflicts with a served base model.",
            "lora_name",
        )
    if body.is_3d_lora_weight:
        raise BadRequest("`is_3d_lora_weight` is not supported", "is_3d_lora_weight")
    try:
        with registration.in_words(_WORDS):
            await registration.register(server, body.order())
    except AdapterExists:
        raise BadRequest(
            f"The lora adapter '{name}' has already been loaded. If you want to load "
            "the adapter in place, set 'load_inplace' to True.",
            "lora_name",
        ) from None
    except AdapterRefused as error:
        if error.code in ("no_source", "no_config") and not error.is_passing:
            raise NotFound(str(error), "lora_path") from None
        raise
    warned = "".join(f"\nWarning: {w}" for w in registration.warnings(server, name))
    return f"Success: LoRA adapter '{name}' added successfully.{warned}"


@post("/v1/unload_lora_adapter", status_code=200, media_type="text/plain")
async def unload(request: Request, server: Injected) -> str:
    """Forget a name; the requests that it answers now are answered to their end."""
    registration.check_enabled(server)
    name = decode(await request.body(), UnloadRequest).lora_name
    if not name:
        raise BadRequest("'lora_name' needs to be provided to unload a LoRA adapter.")
    try:
        await registration.unregister(server, name)
    except UnknownAdapter:
        text = f"The lora adapter '{name}' cannot be found."
        raise NotFound(text, "lora_name") from None
    return f"Success: LoRA adapter '{name}' removed successfully."


ROUTES = [load, unload]
