"""DJL Serving's /models, for the one model that is served."""

from typing import Any

from litestar import Request, Response, get
from litestar.params import FromPath

from hotswap.api.djl.shape import page, reply
from hotswap.api.shared.djl_errors import UnknownEndpoint
from hotswap.api.shared.server_state import Injected, ServerState


@get("/models")
async def models(request: Request, server: Injected) -> Response:
    """The one model, by each of its names, and its state."""
    rows = [
        {"modelName": name, "modelUrl": server.model_url, "status": "READY"}
        for name in server.names
    ]
    shown, token = page(request, rows)
    return reply({**token, "models": shown})


@get("/models/{model:str}")
async def model(server: Injected, model: FromPath[str]) -> Response:
    """What DJL tells of a model, as far as it has a meaning here."""
    if model not in server.names:
        raise UnknownEndpoint(model)
    return reply([{"workflowName": model, "models": [model_row(server)]}])


def model_row(server: ServerState) -> dict[str, Any]:
    """One model of a workflow. There is one worker: the engine."""
    status = server.engine.status
    return {
        "modelName": server.base,
        "modelUrl": server.model_url,
        "requestInQueue": status.waiting,
        "status": "Healthy" if server.health.is_ready else "Unhealthy",
        "loadedAtStartup": True,
    }


ROUTES = [models, model]
