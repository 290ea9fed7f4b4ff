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
"""

import asyncio
import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from hotswap.adapters.origin import Origin
from hotswap.errors import NoRoom, StartFailed, Vetoed

Change = Callable[[str, bool], str]

log = logging.getLogger(__name__)

NAMES = (
    "register_adapter",
    "update_adapter",
    "unregister_adapter",
    "preprocess",
    "postprocess",
)


class Hooks:
    """The first three are called on the library's thread, one at a time; the others
    on any thread, and at the same time for several requests. Raises Vetoed or NoRoom.
    """

    def __init__(
        self, functions: Mapping[str, Callable[..., Any]] = MappingProxyType({})
    ) -> None:
        """Without functions every call does nothing."""
        self._functions = functions

    def register(self, name: str, origin: Origin) -> None:
        self._call("register_adapter", name=name, **_told(origin))

    def update(self, name: str, origin: Origin) -> None:
        """`origin` is what it would become."""
        self._call("update_adapter", name=name, **_told(origin))

    def unregister(self, name: str) -> None:
        self._call("unregister_adapter", name=name)

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
            with _vetoing("postprocess"):
                changed = change(text, is_last)
            if not isinstance(changed, str):
                raise Vetoed(f"postprocess made {type(changed).__name__}, not a str")
            return changed

        return checked

    def _call(self, function: str, **arguments: Any) -> Any:
        if function not in self._functions:
            return None
        with _vetoing(function):
            return self._functions[function](**arguments)


@contextmanager
def _vetoing(function: str) -> Iterator[None]:
    """Whatever is raised inside, as Vetoed or NoRoom."""
    try:
        yield
    except MemoryError as error:
        raise NoRoom(str(error) or f"{function} says that there is no room") from None
    except Exception as error:
        # A veto, or a bug of the module: the log tells them apart.
        log.warning("hook function=%s raised", function, exc_info=error)
        raise Vetoed(str(error) or f"{function}: {type(error).__name__}") from None


def load(module: str, adapters: Path | None) -> Hooks:
    """The functions of a module, by dotted name or by the path of a .py file.

    Runs the module. `adapters` is the directory it must not lie in. Raises StartFailed.
    """
    try:
        found = _run(_find(module, adapters))
    except StartFailed as error:
        raise StartFailed(f"hooks module {module}: {error}") from None
    except Exception as error:
        # Whatever the module does wrong, the start ends with one line.
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise StartFailed(f"hooks module {module}: {why}") from None
    functions = {name: getattr(found, name) for name in NAMES if hasattr(found, name)}
    if not functions:
        raise StartFailed(f"hooks module {module}: it has none of {', '.join(NAMES)}")
    for name, function in functions.items():
        if not callable(function) or inspect.iscoroutinefunction(function):
            raise StartFailed(f"hooks module {module}: {name} is no plain function")
    return Hooks(functions)


def _find(module: str, adapters: Path | None) -> ModuleSpec:
    is_file = module.endswith(".py")
    if is_file:
        spec = importlib.util.spec_from_file_location(
            f"_hooks_{Path(module).stem}",
            module,  # no library's name is taken
        )
    else:
        spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None or (is_file and not Path(module).is_file()):
        raise StartFailed("no such module")
    place = Path(spec.origin).resolve()
    if adapters is not None and place.is_relative_to(adapters.resolve()):
        raise StartFailed(f"code in the adapters directory {adapters} is never run")
    return spec


def _run(spec: ModuleSpec) -> ModuleType:
    assert spec.loader is not None, spec
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def _told(origin: Origin) -> dict[str, Any]:
    return {
        "src": origin.src,
        "alias": origin.alias,
        "options": dict(origin.options),
    }
