"""DjlHandler: the functions of a `model.py` in DJL Serving's form, called as DJL does.

`handle(inputs)` answers requests, and is called once at the start with an empty input;
`register_adapter`, `update_adapter` and `unregister_adapter` are told of adapters, and
may refuse. Each is a plain function or a coroutine's.
"""

import inspect
import sys
from collections.abc import Mapping
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from hotswap.adapters.origin import Origin
from hotswap.errors import HotswapError, NoRoom, StartFailed, Vetoed
from hotswap.handler import djl_python, operator_module
from hotswap.handler.djl_calls import (
    HANDLE,
    Function,
    Sink,
    answer,
    answer_async,
    once,
    once_async,
)
from hotswap.handler.djl_python import inputs, outputs, pair_list
from hotswap.handler.djl_python.inputs import Input
from hotswap.handler.djl_python.outputs import Output
from hotswap.handler.runner import Runner

UNREGISTER = "unregister_adapter"
CHANGES = ("register_adapter", "update_adapter", UNREGISTER)
# By DJL's names, in the place of a package of that name that may be installed: it talks
# to a parent process over a socket, and its classes would not be those seen here.
_SHIM = {
    "djl_python": djl_python,
    "djl_python.inputs": inputs,
    "djl_python.outputs": outputs,
    "djl_python.pair_list": pair_list,
}


class DjlHandler:
    def __init__(
        self,
        functions: Mapping[str, Function],
        runner: Runner,
        properties: Mapping[str, str],
    ) -> None:
        """`properties`: of every input."""
        self._functions = functions
        self._runner = runner
        self._properties = properties

    @property
    def answers(self) -> bool:
        """Whether there is a `handle`: else the built-in one answers."""
        return HANDLE in self._functions

    @property
    def changes(self) -> frozenset[str]:
        """The functions that are told of adapters."""
        return frozenset(CHANGES) & frozenset(self._functions)

    def initialise(self) -> None:
        """Call `handle` with an empty input. Raises StartFailed."""
        if not self.answers:
            return
        try:
            output = self._call(HANDLE, self._input(HANDLE), is_limited=False).result()
        except HotswapError as error:
            why = " ".join(str(error).split())
            raise StartFailed(f"handle, with an empty input: {why}") from None
        if output is not None and output.code >= 300:
            raise StartFailed(f"handle, with an empty input: {output.message}")

    def tell(self, function: str, name: str, origin: Origin) -> "Future[str | None]":
        """Of a change of an adapter: the text that its client is told. The future
        raises Vetoed or NoRoom if the function refuses."""
        said = self._input(function)
        said.properties |= {"name": name, "alias": origin.alias or name}
        if function != UNREGISTER:
            said.properties["src"] = origin.src
            for key, value in _parameters(name, origin).items():
                said.content.add(key, bytearray(value.encode()))
        called = self._call(function, said, is_urgent=True)
        told: Future[str | None] = Future()
        called.add_done_callback(partial(_pass_on, told, function))
        return told

    def handle(self, asked: Input, sink: Sink) -> "Future[None]":
        """Answer a request into `sink`. The future raises what `vetoing` does."""
        asked.function_name = HANDLE
        asked.properties |= self._properties
        function = self._functions[HANDLE]
        work = answer_async if inspect.iscoroutinefunction(function) else answer
        return self._runner.call(HANDLE, partial(work, function, asked, sink))

    def _input(self, function: str) -> Input:
        made = Input()
        made.function_name = function
        made.properties = {"handler": function, **self._properties}
        return made

    def _call(self, name: str, asked: Input, **how: bool) -> "Future[Output | None]":
        function = self._functions[name]
        work = once_async if inspect.iscoroutinefunction(function) else once
        return self._runner.call(name, partial(work, name, function, asked), **how)


def load(
    path: str,
    *,
    adapters: Path | None,
    runner: Runner,
    properties: Mapping[str, str],
) -> DjlHandler:
    """The functions of a file, which is run. `adapters` is the directory it must not
    lie in. It can import its neighbours. Raises StartFailed."""
    what = "hooks handler"
    if not path.endswith(".py"):
        raise StartFailed(f"{what} {path}: it is no .py file")
    folder = str(Path(path).resolve().parent)
    sys.modules.update(_SHIM)
    if folder not in sys.path:
        sys.path.append(folder)  # last: it hides no library
    module = operator_module.load(path, what, adapters)
    names = (HANDLE, *CHANGES)
    found = {n: f for n in names if callable(f := getattr(module, n, None))}
    if not found:
        raise StartFailed(f"{what} {path}: it has none of {', '.join(names)}")
    return DjlHandler(found, runner, {**properties, "model_dir": folder})


def _pass_on(
    told: "Future[str | None]", function: str, called: "Future[Output | None]"
) -> None:
    """The text of a change, or why it is refused."""
    try:
        output = called.result()
        if output is not None and output.code >= 300:
            kind = NoRoom if output.code == 507 else Vetoed
            raise kind(output.message or f"{function} says {output.code}")
    except BaseException as error:
        told.set_exception(error)
    else:
        told.set_result(None if output is None else output.message)


def _parameters(name: str, origin: Origin) -> dict[str, str]:
    """As a client gives them: those that are not by default."""
    said = {"name": name, "src": origin.src, **origin.options}
    if not origin.preload:
        said["preload"] = "false"
    if origin.pin:
        said["pin"] = "true"
    return said
