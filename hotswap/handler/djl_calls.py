"""DJL calls: one call of a handler's function, and what its answer becomes.

Run on the runner's threads; a coroutine on its event loop. Whatever the function raises
or returns that it should not is Vetoed or NoRoom.
"""

import asyncio
import logging
from collections.abc import Callable
from types import AsyncGeneratorType
from typing import Any, Protocol

from hotswap.errors import HotswapError, Vetoed
from hotswap.handler.djl_python.inputs import Input
from hotswap.handler.djl_python.outputs import Encoded, Output
from hotswap.handler.veto import vetoing

log = logging.getLogger(__name__)

HANDLE = "handle"
Function = Callable[[Input], Any]


class Sink(Protocol):
    """Takes the answer to a request, on the handler's thread."""

    def head(self, output: Output) -> None:
        """All of it, or all but the chunks of a stream."""

    def chunk(self, data: bytes) -> bool:
        """False: nobody reads it any more."""


def once(name: str, function: Function, asked: Input) -> Output | None:
    with vetoing(name):
        return _checked(function(asked))


async def once_async(name: str, function: Function, asked: Input) -> Output | None:
    with vetoing(name):
        return _checked(await function(asked))


def answer(function: Function, asked: Input, sink: Sink) -> None:
    """Of `handle`, for a request."""
    with vetoing(HANDLE):
        output = _checked(function(asked)) or _nothing()
        sink.head(output)
        for item in output.stream_content or ():
            if not sink.chunk(_written(output, item)):
                break
    _finalize(output)


async def answer_async(function: Function, asked: Input, sink: Sink) -> None:
    with vetoing(HANDLE):
        found = await function(asked)
        if isinstance(found, AsyncGeneratorType):
            await _send_parts(found, sink)
            return
        output = _plain(_checked(found) or _nothing())
        sink.head(output)
        for item in output.stream_content or ():
            if not sink.chunk(_written(output, item)):
                break
            await asyncio.sleep(0)  # others have a turn
    _finalize(output)


def data_of(output: Output) -> bytes:
    """What goes out of an answer's content: one value, as in DJL."""
    content = output.content
    if content.is_empty():
        return b""
    return bytes(content.get("data") or content.value_at(0))


async def _send_parts(parts: AsyncGeneratorType[Any, Any], sink: Sink) -> None:
    """Of one answer, each an Output. The first says code and properties."""
    has_begun = False
    async for part in parts:
        output = _plain(_checked(part) or _nothing())
        if not has_begun:
            has_begun = True
            output.stream_content = iter(())
            sink.head(output)
        if not sink.chunk(data_of(output)):
            return
    if not has_begun:
        sink.head(_nothing())


def _nothing() -> Output:
    return Output(204, "No content")


def _written(output: Output, item: Any) -> bytes:
    """An item of a stream."""
    write = output.stream_output_formatter
    return data_of(Output().add(item if write is None else write(item)))


def _finalize(output: Output) -> None:
    """When all is sent: whatever it does wrong, the answer is out."""
    try:
        with vetoing("finalize"):
            output.execute_finalize()
    except HotswapError as error:
        log.warning("finalize failed: %s", error)


def _checked(found: Any) -> Output | None:
    """Raises Vetoed for what no function may return."""
    if found is None or isinstance(found, Output):
        return found
    raise Vetoed(f"Invalid output type: {type(found)}")


def _plain(output: Output) -> Output:
    """Without the envelope that DJL's asynchronous handlers put answers into."""
    values = output.content.get_values()
    if not values or not isinstance(values[0], Encoded):
        return output
    said = values[0].said
    if said.get("error"):
        return Output().error(str(said["error"]), code=int(said.get("code") or 424))
    made = Output(int(said.get("code") or output.code), output.message)
    made.properties = output.properties
    return made.add(str(said.get("data", "")))
