"""/v1/models: OpenAI's listing, with vLLM's cards for adapters (`parent`, `root`)."""

from collections.abc import Iterator
from typing import Any

from litestar import get
from litestar.params import FromPath

from hotswap.adapters.adapter_info import AdapterState
from hotswap.api.selection import from_model
from hotswap.api.server_state import Injected, ServerState
from hotswap.errors import UnknownModel
from scheduler import BASE


@get("/v1/models")
async def models(serving: Injected) -> dict[str, Any]:
    """Every name of the base model, of every adapter that is served, every alias."""
    return {"object": "list", "data": list(_cards(serving))}


@get("/v1/models/{model:path}")
async def model(serving: Injected, model: FromPath[str]) -> dict[str, Any]:
    """One of them, by any name that a request may say."""
    asked = model.removeprefix("/")
    if asked == BASE:
        return _base(serving, serving.base)
    name = asked if asked in serving.names else from_model(asked, serving.names)
    for card in _cards(serving):
        if card["id"] == name:
            return card
    row = serving.engine.status.adapter(name)
    raise UnknownModel(asked, row.reason if row else None)


def _cards(serving: ServerState) -> Iterator[dict[str, Any]]:
    for name in serving.names:
        yield _base(serving, name)
    rows = {
        row.name: row
        for row in serving.engine.status.adapters
        if row.state is AdapterState.READY
    }
    for name, row in rows.items():
        yield _card(serving, name, serving.source(row), parent=serving.base)
    for alias, name in sorted(serving.library.aliases.items()):
        if name in rows:
            root = serving.source(rows[name])
            yield _card(serving, alias, root, parent=serving.base)


def _base(serving: ServerState, name: str) -> dict[str, Any]:
    return _card(serving, name, serving.model_url, context=serving.engine.limit)


def _card(
    serving: ServerState,
    name: str,
    root: str,
    *,
    parent: str | None = None,
    context: int | None = None,
) -> dict[str, Any]:
    permission = {
        "id": f"modelperm-{name}",
        "object": "model_permission",
        "created": serving.started_at,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": False,
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


ROUTES = [models, model]
