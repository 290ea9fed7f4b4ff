"""Hub: whether a model can be had from there, asked once in a process.

The hub's own client asks five times for each file, with pauses between. Imports no
torch: the question comes before it.
"""

import logging
from functools import cache
from pathlib import Path

from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache

from hotswap.error_boundary import said
from hotswap.errors import StartFailed

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0
# What is read of a model; a pickle is none of it.
_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]


@cache
def is_on_hub(model: str) -> bool:
    """False if the copy in the hub's cache has to do. Raises StartFailed if there is
    none either."""
    try:
        HfApi().model_info(model, timeout=_PATIENCE_S)
    except Exception as error:
        # No network, no such model, no right to it: each in its own class.
        if isinstance(try_to_load_from_cache(model, "config.json"), str):
            log.warning("model %s: its cached copy is used (%s)", model, said(error))
            return False
        raise StartFailed(
            f"model {model}: no such folder, nor does the hub give it ({said(error)})"
        ) from None
    return True


def fetched_from_hub(model: str) -> Path:
    """The folder of its files, in the hub's cache. Raises StartFailed."""
    is_there = is_on_hub(model)
    try:
        folder = snapshot_download(
            model, allow_patterns=_FILES, local_files_only=not is_there
        )
    except Exception as error:
        raise StartFailed(f"model {model}: {said(error)}") from None
    return Path(folder)
