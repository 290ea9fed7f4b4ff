"""Encoder pool: threads that encode prompts beside the event loop.

A long text takes a tokenizer seconds, and what an adapter's folder brings may take any
time. Each lane has one work in hand at a time, so that no adapter holds up another, and
lanes alternate. None of the threads is anybody else's.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from hotswap.api.shared.prompt import Prompt
from hotswap.errors import BadRequest, Overloaded
from hotswap.tokenizer import Tokenizer

_THREADS = 8
MOST_IN_LANE = 64  # works of one lane
MOST_SIZE = 1 << 25  # characters of all that wait
LONG = 64_000  # what may take seconds does not wait with what does not


class Encodable(Protocol):
    """Work for a thread. `size`: about so many characters."""

    @property
    def size(self) -> int: ...
    def __call__(self) -> None: ...


class Encoding:
    """A prompt that is to be encoded, for whom."""

    def __init__(
        self, prompt: Prompt, tokenizer: Tokenizer, limit: int, adapter: str
    ) -> None:
        """Raises PromptTooLong for what has no room in `limit` tokens."""
        self.is_needed = not prompt.is_encoded(tokenizer)
        if self.is_needed:
            prompt.check_size(tokenizer, limit)
        self.size = prompt.size if self.is_needed else 0
        self._prompt, self._tokenizer, self._limit = prompt, tokenizer, limit
        self._adapter = adapter

    def __call__(self) -> None:
        """Raises ClientError, naming the adapter if what it brings is at fault."""
        try:
            self._prompt.encode(self._tokenizer, self._limit)
        except BadRequest as error:
            if not self._adapter:
                raise
            text = f"adapter `{self._adapter}`: {error}"
            raise BadRequest(text, error.field) from None


@dataclass(slots=True)
class _Work:
    do: Sequence[Callable[[], None]]
    size: int
    done: "Future[None]"
    error: BaseException | None = None

    def run(self) -> None:
        if not self.done.set_running_or_notify_cancel():
            return  # whoever asked has left
        try:
            for each in self.do:
                each()
        except BaseException as error:
            self.error = error

    def tell(self) -> None:
        if self.error is not None:
            self.done.set_exception(self.error)
        elif not self.done.cancelled():
            self.done.set_result(None)


class EncoderPool:
    """`run` on the event loop; `close` from any thread."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="encode")
        self._lock = threading.Lock()
        self._lanes: dict[str, deque[_Work]] = {}
        self._size = 0

    async def run(self, lane: str, several: Sequence[Encodable]) -> None:
        """Encode them when the lane comes to them.

        Raises Overloaded if too much waits, and what they raise.
        """
        size = sum(one.size for one in several)
        if size > LONG:
            lane += " long"
        work = _Work(several, size, Future())
        with self._lock:
            line = self._lanes.get(lane, deque())
            if len(line) >= MOST_IN_LANE or self._size + size > MOST_SIZE:
                raise Overloaded("too many long prompts wait to be read", 1.0)
            self._lanes[lane] = line
            self._size += size
            line.append(work)
            if len(line) == 1:
                self._threads.submit(self._next, lane)
        await asyncio.wrap_future(work.done)

    def close(self) -> None:
        """Begin no more work. What is in hand ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for line in self._lanes.values():
                for work in line:
                    work.done.cancel()

    def _next(self, lane: str) -> None:
        """On a thread: the first work of a lane. The lane's next one is for whichever
        thread is free, behind the other lanes'."""
        line = self._lanes[lane]
        work = line[0]
        work.run()
        with self._lock:
            line.popleft()
            self._size -= work.size
            if not line:
                del self._lanes[lane]
        if line:
            with suppress(RuntimeError):  # closed meanwhile
                self._threads.submit(self._next, lane)
        work.tell()
