"""Asking: how the operator's handler asks the model that this server serves.

In DJL a handler owns its model; here the server does, with every adapter beside it. A
call goes the way of any request: the same body, checks, key, queue and leases, and it
ends with the request that the handler answers.
"""

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextvars import ContextVar
from typing import Any, Protocol


class Asker(Protocol):
    """Called on any thread."""

    def __call__(self, body: Mapping[str, Any]) -> "Future[Any]":
        """What /invocations answers to `body`."""


# Of the request that a handler works on.
asker: ContextVar[Asker | None] = ContextVar("asker", default=None)


def generate(
    inputs: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    adapter: str | None = None,
) -> Any:
    """What /invocations answers, decoded: `{"generated_text": ...}`, or a list of such.

    `parameters` are those of /invocations. `adapter`: "" is the bare model; None is
    what the request names by its header, query or endpoint, or else the bare model.
    Waits for the answer. Raises the server's own errors (`hotswap.errors`), which, if
    they leave `handle`, are the answer; RuntimeError outside of `handle`.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _asked(inputs, parameters, adapter).result()
    raise RuntimeError("generate() would stop the event loop: await agenerate()")


async def agenerate(
    inputs: str | Sequence[str],
    parameters: Mapping[str, Any] | None = None,
    adapter: str | None = None,
) -> Any:
    """As `generate`, for `async def handle`."""
    return await asyncio.wrap_future(_asked(inputs, parameters, adapter))


def _asked(
    inputs: str | Sequence[str],
    parameters: Mapping[str, Any] | None,
    adapter: str | None,
) -> "Future[Any]":
    ask = asker.get()
    if ask is None:
        raise RuntimeError("the model is asked within `handle`, for a request")
    body: dict[str, Any] = {"inputs": inputs, "parameters": dict(parameters or {})}
    return ask(body if adapter is None else {**body, "adapter": adapter})
