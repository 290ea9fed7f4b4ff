"""/info: TGI's description of what is served, as far as it has a meaning here."""

from typing import Any, get_args

from litestar import get

from hotswap import __version__
from hotswap.api.shared.server_state import Injected
from hotswap.sampling_ranges import Copies, StopStrings


@get("/info")
async def info(server: Injected) -> dict[str, Any]:
    """The model and the bounds of a request; null is what is not known."""
    limit = server.engine.limit
    return {
        "model_id": server.base,
        "model_sha": None,
        "model_pipeline_tag": "text-generation",
        "max_best_of": get_args(Copies)[1].le,
        "max_stop_sequences": get_args(StopStrings)[1].max_length,
        "max_input_tokens": limit - 1,
        "max_input_length": limit - 1,
        "max_total_tokens": limit,
        "router": "hotswap",
        "version": __version__,
        "sha": None,
        "docker_label": None,
    }


ROUTES = [info]
