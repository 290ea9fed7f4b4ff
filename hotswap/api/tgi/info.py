"""/info: TGI's description of what is served, as far as it has a meaning here."""

from typing import TypedDict, get_args

from litestar import get

from hotswap import __version__
from hotswap.api.shared.server_state import Injected
from hotswap.sampling_ranges import Copies, StopStrings


class Info(TypedDict):
    """`max_input_length`: LoRAX' name of `max_input_tokens`."""

    model_id: str
    model_sha: str | None
    model_pipeline_tag: str
    max_best_of: int
    max_stop_sequences: int
    max_input_tokens: int
    max_input_length: int
    max_total_tokens: int
    router: str
    version: str
    sha: str | None
    docker_label: str | None


@get("/info")
async def info(server: Injected) -> Info:
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
