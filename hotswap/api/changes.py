"""Changes: registering, updating and unregistering, whatever shape asks for it.

An answer comes when the change is done and can be seen: the next request may use the
adapter, and the next listing shows it.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from hotswap.adapters.origin import Origin
from hotswap.api.listings import find
from hotswap.api.selection import from_model
from hotswap.api.serving import Serving
from hotswap.errors import BadRequest, ClientError
from scheduler import BASE


def check_enabled(serving: Serving) -> None:
    """Raises BadRequest if this server serves the bare model alone."""
    if not serving.is_lora_enabled:
        raise BadRequest("LoRA is not enabled.")


@contextmanager
def in_words(words: Mapping[str, str]) -> Iterator[None]:
    """Errors raised inside name the client's fields: `words` has them by ours."""
    try:
        yield
    except ClientError as error:
        ours = error.field or ""
        if theirs := words.get(ours):
            error.field = theirs
            error.args = (str(error).replace(f"`{ours}`", f"`{theirs}`"),)
        raise


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
    if name == BASE or name in serving.names:
        raise BadRequest(f"the name `{name}` is the bare model's", "name")
    if (other := from_model(name, serving.names)) != name:
        raise BadRequest(
            f"the name `{name}` asks for the adapter `{other}` of the bare model",
            "name",
        )
    key = await asyncio.wrap_future(
        serving.library.register(name, origin, replace=replace, expected=expected)
    )
    await asyncio.wrap_future(serving.engine.seen())
    return key


def warnings(serving: Serving, name: str) -> tuple[str, ...]:
    """What to know of an adapter that was registered just now."""
    row = find(serving.engine.status.adapters, name)
    return row.generation_info.warnings if row is not None else ()


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
    await asyncio.wrap_future(serving.engine.seen())


async def unregister(serving: Serving, name: str) -> None:
    """Forget a name; what runs finishes. Raises what the library says."""
    await asyncio.wrap_future(serving.library.unregister(name))
    await asyncio.wrap_future(serving.engine.seen())
