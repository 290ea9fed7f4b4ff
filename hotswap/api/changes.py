"""Changes: registering, updating and unregistering, whatever shape asks for it.

An answer comes when the change is done and can be seen: the next request may use the
adapter, and the next listing shows it.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from hotswap.adapters.listing import AdapterState, Listing
from hotswap.adapters.origin import Origin
from hotswap.api.listings import find
from hotswap.api.serving import Serving
from hotswap.errors import BadRequest
from scheduler import BASE

# The engine shows a change after the step that runs; a listing may be older than an
# answer only if a step takes longer.
_SHOWN_WITHIN_S = 10.0
_LOOK_EVERY_S = 0.002


def check_enabled(serving: Serving) -> None:
    """Raises BadRequest if this server serves the bare model alone."""
    if not serving.is_lora_enabled:
        raise BadRequest("LoRA is not enabled.")


async def register(
    serving: Serving,
    name: str,
    origin: Origin,
    *,
    replace: bool = False,
    expected: str | None = None,
) -> str | None:
    """Serve a folder under `name`; the generation's key, None if it is read later.

    Raises what the library says, with nothing changed.
    """
    if name in (BASE, serving.base):
        raise BadRequest(f"the name `{name}` is the bare model's", "name")
    key = await asyncio.wrap_future(
        serving.library.register(name, origin, replace=replace, expected=expected)
    )
    await _shown(
        serving,
        name,
        lambda row: (
            row is not None
            and row.state is AdapterState.READY
            and key in (None, row.generation)
        ),
    )
    return key


async def update(
    serving: Serving,
    name: str,
    *,
    preload: bool | None = None,
    pin: bool | None = None,
    alias: str | None = None,
    src: str | None = None,
    options: Mapping[str, str],
) -> None:
    """Change what is given. Raises what the library says, with nothing changed."""
    await asyncio.wrap_future(
        serving.library.update(
            name, preload=preload, pin=pin, alias=alias, src=src, options=options
        )
    )
    await _shown(
        serving,
        name,
        lambda row: (
            row is not None
            and preload in (None, row.origin.preload)
            and pin in (None, row.origin.pin)
            and alias in (None, row.origin.alias)
        ),
    )


async def unregister(serving: Serving, name: str) -> None:
    """Forget a name; what runs finishes. Raises what the library says."""
    await asyncio.wrap_future(serving.library.unregister(name))
    await _shown(serving, name, lambda row: row is None)


async def _shown(
    serving: Serving, name: str, is_done: Callable[[Listing | None], bool]
) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(_SHOWN_WITHIN_S):
            while serving.engine.is_alive:
                if is_done(find(serving.engine.status.adapters, name)):
                    return
                await asyncio.sleep(_LOOK_EVERY_S)
