"""Hooks: functions of the operator's own module, called as adapters come and go.

    register_adapter(name, src, alias, options)     before an adapter is registered
    update_adapter(name, src, alias, options)       before its settings change
    unregister_adapter(name)                        before it goes
    preprocess(adapter, body) -> body               a request's JSON, before it is read
    postprocess(adapter) -> change or None          at the start of an answer

`change(text, is_last) -> text` is then called with each piece of that answer's text and
says what to send in its place, in streams and in whole answers alike; to see the whole
text it may hold pieces back until the last.

All are optional and plain functions, and are called by keyword (a change is not). One
that raises refuses: its message reaches the client, MemoryError says that there is no
room. The module is named in the configuration; nothing in an adapter folder is ever
imported.

A `model.py` in DJL's form (`hotswap.handler.djl_handler`) may have the first three in
DJL's form, and what answers requests. What both have is an error of the start.
"""

import asyncio
import inspect
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hotswap.adapters.origin import Origin
from hotswap.errors import StartFailed, Vetoed
from hotswap.handler import operator_module
from hotswap.handler.djl_handler import CHANGES, UNREGISTER, DjlHandler
from hotswap.handler.runner import Runner
from hotswap.handler.veto import vetoing

Change = Callable[[str, bool], str]

NAMES = (*CHANGES, "preprocess", "postprocess")


class Hooks:
    """The first three are called on the runner's threads, one at a time unless it is
    told otherwise; the others on any thread, and at the same time for several requests.
    """

    def __init__(
        self,
        functions: Mapping[str, Callable[..., Any]] = MappingProxyType({}),
        *,
        handler: DjlHandler | None = None,
        runner: Runner | None = None,
    ) -> None:
        """Without functions and a handler every call does nothing."""
        self._functions = functions
        self._handler = handler
        self._runner = runner or Runner()

    @property
    def handler(self) -> DjlHandler | None:
        """That answers requests in the place of the built-in one."""
        return self._handler if self._handler and self._handler.answers else None

    @property
    def trouble(self) -> tuple[str, ...]:
        """What is wrong with the operator's code, in a line each."""
        lost = self._runner.lost
        return (f"{lost} calls of hooks or the handler hang",) if lost else ()

    def register(self, name: str, origin: Origin) -> "Future[str | None]":
        """What the client is to be told; None is nothing in particular. It raises
        Vetoed or NoRoom, then or now."""
        return self._tell("register_adapter", name, origin)

    def update(self, name: str, origin: Origin) -> "Future[str | None]":
        """The same. `origin` is what it would become."""
        return self._tell("update_adapter", name, origin)

    def unregister(self, name: str, origin: Origin) -> "Future[str | None]":
        return self._tell(UNREGISTER, name, origin)

    @property
    def can_preprocess(self) -> bool:
        return "preprocess" in self._functions

    def preprocess(self, adapter: str, body: dict[str, Any]) -> dict[str, Any]:
        """The body to read in place of `body`. Call it if `can_preprocess`."""
        changed = self._call("preprocess", adapter=adapter, body=body)
        if not isinstance(changed, dict):
            raise Vetoed(f"preprocess returned {type(changed).__name__}, not a dict")
        return changed

    async def change(self, adapter: str) -> Change | None:
        """As `postprocess`, off the event loop."""
        if "postprocess" not in self._functions:
            return None
        return await asyncio.to_thread(self.postprocess, adapter)

    def postprocess(self, adapter: str) -> Change | None:
        """What to do with each piece of one answer's text; None is nothing."""
        change = self._call("postprocess", adapter=adapter)
        if change is None:
            return None
        if not callable(change):
            raise Vetoed(f"postprocess returned {type(change).__name__}, no function")

        def checked(text: str, is_last: bool) -> str:
            with vetoing("postprocess"):
                changed = change(text, is_last)
            if not isinstance(changed, str):
                raise Vetoed(f"postprocess made {type(changed).__name__}, not a str")
            return changed

        return checked

    def close(self) -> None:
        """Call nothing any more."""
        self._runner.close()

    def _tell(self, function: str, name: str, origin: Origin) -> "Future[str | None]":
        if function in self._functions:
            told = {} if function == UNREGISTER else _told(origin)
            work = partial(self._call, function, name=name, **told)
            return self._runner.call(function, partial(_done, work), is_urgent=True)
        if self._handler is not None and function in self._handler.changes:
            return self._handler.tell(function, name, origin)
        nothing: Future[str | None] = Future()
        nothing.set_result(None)
        return nothing

    def _call(self, function: str, **arguments: Any) -> Any:
        if function not in self._functions:
            return None
        with vetoing(function):
            return self._functions[function](**arguments)


def load(
    module: str,
    adapters: Path | None,
    *,
    handler: DjlHandler | None = None,
    runner: Runner | None = None,
) -> Hooks:
    """The functions of a module, by dotted name or by the path of a .py file.

    Runs the module. `adapters` is the directory it must not lie in. Raises StartFailed.
    """
    what = "hooks module"
    found = operator_module.load(module, what, adapters)
    functions = {name: getattr(found, name) for name in NAMES if hasattr(found, name)}
    if not functions:
        raise StartFailed(f"{what} {module}: it has none of {', '.join(NAMES)}")
    for name, function in functions.items():
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise StartFailed(f"{what} {module}: {name} is no plain function")
        if handler is not None and name in handler.changes:
            raise StartFailed(f"{what} {module}: the handler has a {name}, too")
    return Hooks(functions, handler=handler, runner=runner)


def _done(work: Callable[[], object]) -> None:
    """What a plain function returns is told to nobody."""
    work()


def _told(origin: Origin) -> dict[str, Any]:
    return {
        "src": origin.src,
        "alias": origin.alias,
        "options": dict(origin.options),
    }
