"""Hub: whether a model can be had from there, asked once in a process.

The hub's own client asks five times for each file, with pauses between. Imports no
torch: the question comes before it.
"""

import logging
from functools import cache

from huggingface_hub import HfApi, try_to_load_from_cache

from hotswap.error_boundary import said
from hotswap.errors import StartFailed

log = logging.getLogger(__name__)

_PATIENCE_S = 5.0


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
