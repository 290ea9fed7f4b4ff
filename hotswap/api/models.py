"""/v1/models: OpenAI's list; an adapter's row is vLLM's (`parent`, `root`)."""

from collections.abc import Iterator
from typing import Literal, TypedDict

from litestar import get
from litestar.params import FromPath

from hotswap.adapters.adapter_info import AdapterState
from hotswap.api.shared.asking_key import may_ask
from hotswap.api.shared.selection import from_model
from hotswap.api.shared.server_state import Injected, ServerState
from hotswap.errors import UnknownModel
from scheduler import BASE


class ModelPermission(TypedDict):
    id: str
    object: Literal["model_permission"]
    created: int
    allow_create_engine: bool
    allow_sampling: bool
    allow_logprobs: bool
    allow_search_indices: bool
    allow_view: bool
    allow_fine_tuning: bool
    organization: str
    group: str | None
    is_blocking: bool


class ModelCard(TypedDict):
    """As vLLM has it. `parent`: of an adapter, its base model."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str
    parent: str | None
    max_model_len: int | None
    permission: list[ModelPermission]


class ModelList(TypedDict):
    object: Literal["list"]
    data: list[ModelCard]


@get("/v1/models")
async def models(server: Injected) -> ModelList:
    """Every name of the base model, of every adapter that is served, every alias; of
    those that the request's key may ask for."""
    return {"object": "list", "data": list(_cards(server))}


@get("/v1/models/{model:path}")
async def model(server: Injected, model: FromPath[str]) -> ModelCard:
    """One of them, by any name that a request may say."""
    asked = model.removeprefix("/")
    if asked == BASE and may_ask(server, ""):
        return _base(server, server.base)
    name = asked if asked in server.names else from_model(asked, server.names)
    for card in _cards(server):
        if card["id"] == name:
            return card
    row = server.engine.status.adapter(name)
    is_known = row is not None and may_ask(server, row.name)
    raise UnknownModel(asked, row.reason if row and is_known else None)


def _cards(server: ServerState) -> Iterator[ModelCard]:
    if may_ask(server, ""):
        for name in server.names:
            yield _base(server, name)
    rows = {
        row.name: row
        for row in server.engine.status.adapters
        if row.state is AdapterState.READY
        and not row.is_nameless
        and may_ask(server, row.name)
    }
    for name, row in rows.items():
        yield _card(server, name, server.source(row), parent=server.base)
    for alias, name in sorted(server.library.aliases.items()):
        if name in rows:
            root = server.source(rows[name])
            yield _card(server, alias, root, parent=server.base)


def _base(server: ServerState, name: str) -> ModelCard:
    return _card(server, name, server.model_url, context=server.engine.limit)


def _card(
    server: ServerState,
    name: str,
    root: str,
    *,
    parent: str | None = None,
    context: int | None = None,
) -> ModelCard:
    permission: ModelPermission = {
        "id": f"modelperm-{name}",
        "object": "model_permission",
        "created": server.started_at,
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
        "created": server.started_at,
        "owned_by": "hotswap",
        "root": root,
        "parent": parent,
        "max_model_len": context,
        "permission": [permission],
    }


ROUTES = [models, model]
