"""Templates: strangers' chat templates, rendered in processes that can be ended.

A Jinja template is a program: it may loop for ever, and no thread can be stopped.
Processes are started when the first such template comes, answer within a deadline or
are killed, and end by themselves when this one does.
"""

import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from hotswap.errors import BadRequest, NoRenderer
from hotswap.template_options import PLAIN, TemplateOptions

_CHILD = Path(__file__).with_name("template_child.py")
_START_S = 30.0  # of a child, on a busy machine; 0.1 s on an idle one
_DEADLINE_S = 1.0  # of one rendering, which takes less than a millisecond
_QUICK_S = 0.1  # after which it goes behind everything else on the machine
_REST_S = 30.0  # for which a template that was ended is not tried again
_REST_FROM = 2  # for conversations of half the size: smaller ones are not at fault
_MOST_CHARACTERS = 1 << 22
_MOST_IDLE = 4
_KEPT = ("LD_LIBRARY_PATH", "PYTHONHOME")  # what Python may need of our environment


class Renderer:
    """Thread-safe. One process for each thread that renders; idle ones are kept."""

    def __init__(self, *, deadline_s: float = _DEADLINE_S) -> None:
        self._deadline_s = deadline_s
        self._lock = threading.Lock()
        self._idle: list[_Child] = []
        self._busy: set[_Child] = set()
        self._resting: dict[str, _Rest] = {}  # by template

    @property
    def children(self) -> list[int]:
        """The processes that are there now."""
        with self._lock:
            return [child.pid for child in (*self._idle, *self._busy)]

    def render(
        self,
        template: str,
        messages: Sequence[Mapping[str, Any]],
        names: Mapping[str, Any],
        options: TemplateOptions = PLAIN,
    ) -> str:
        """The text; `names`: what else the template may use, unless `options` have
        another value for it. Blocks, a bounded time.

        Raises BadRequest and, while no process is to be had, NoRenderer.
        """
        request = msgspec.json.encode(
            {
                "template": template,
                "messages": [
                    {key: value for key, value in message.items() if value is not None}
                    for message in messages
                ],
                "names": {**names, **options.variables},
                **options.named(),
                "most": _MOST_CHARACTERS,
            }
        )
        size = len(request) - len(template)
        self._check(template, size)
        child = self._take()
        try:
            said = child.ask(request, self._deadline_s)
        except BaseException as error:
            self._end(child)
            if not isinstance(error, OSError | EOFError):
                raise
            self._rest(template, size)
            what = f"it takes more than {self._deadline_s:g} s"
            if not isinstance(error, TimeoutError):
                what = "it takes more time or memory than a template may"
            raise _says(f"{what}; it was ended") from None
        self._give_back(child)
        answer = msgspec.json.decode(said)
        if "error" in answer:
            raise _says(answer["error"])
        text: str = answer["text"]
        return text

    def close(self) -> None:
        """End every process. The next rendering starts one again."""
        with self._lock:
            idle, self._idle = self._idle, []
            for child in self._busy:
                child.kill()  # whoever waits for it ends it
        for child in idle:
            child.end()

    def _rest(self, template: str, size: int) -> None:
        """Whoever made it take too long must not take it from those who ask less."""
        with self._lock:
            known = self._resting.get(template)
            least = size if known is None else min(known.size, size)
            self._resting[template] = _Rest(time.monotonic() + _REST_S, least)

    def _check(self, template: str, size: int) -> None:
        """One that does not come to an end costs others little more than a few times:
        each must be half as large as the last."""
        now = time.monotonic()
        with self._lock:
            resting = self._resting.items()
            self._resting = {t: rest for t, rest in resting if rest.until > now}
            rest = self._resting.get(template)
        if rest is not None and size * _REST_FROM >= rest.size:
            raise _says(
                "it took more time or memory than a template may and is not tried "
                f"again for {rest.until - now:.0f} s, but for a shorter conversation"
            )

    def _take(self) -> "_Child":
        while True:
            with self._lock:
                child = self._idle.pop() if self._idle else None
                if child is not None:
                    self._busy.add(child)
            if child is None:
                break
            if child.is_alive:
                return child
            self._end(child)
        try:
            child = _Child()
        except OSError:  # no descriptors, no memory, no process
            raise NoRenderer from None
        with self._lock:
            self._busy.add(child)
        try:
            child.start()
        except (OSError, EOFError):
            self._end(child)
            raise NoRenderer from None
        return child

    def _give_back(self, child: "_Child") -> None:
        with self._lock:
            self._busy.discard(child)
            if len(self._idle) < _MOST_IDLE and not child.is_slow and child.is_alive:
                self._idle.append(child)
                return
        child.end()

    def _end(self, child: "_Child") -> None:
        child.end()
        with self._lock:
            self._busy.discard(child)


@dataclass(frozen=True, slots=True)
class _Rest:
    until: float
    size: int  # characters of the least conversation that was too much


class _Child:
    """One process; used by one thread at a time."""

    def __init__(self) -> None:
        environment = {key: os.environ[key] for key in _KEPT if key in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        # Not forked: this process has threads that hold locks. Without `site` and the
        # script's own folder: only what it needs is looked at.
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-P", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd="/",
            bufsize=0,
        )
        self.pid = self._process.pid
        self.is_slow = False  # its priority is low, for good
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def start(self) -> None:
        """Wait until it is ready. Raises as `ask`."""
        self._answer(time.monotonic() + _START_S)

    def ask(self, request: bytes, seconds: float) -> bytes:
        """Raises TimeoutError, or OSError or EOFError if it has ended."""
        self.is_slow = False
        until = time.monotonic() + seconds
        frame = memoryview(len(request).to_bytes(4) + request)
        while frame:  # it reads all of a request before it looks at it
            frame = frame[self._in.write(frame) or 0 :]
        if not self._poll.poll(_QUICK_S * 1e3):
            self.is_slow = True
            os.setpriority(os.PRIO_PROCESS, self.pid, 19)
        return self._answer(until)

    def kill(self) -> None:
        with suppress(OSError):
            self._process.kill()

    def end(self) -> None:
        """Once, by whoever uses it: the descriptors are others' afterwards."""
        self.kill()
        self._process.wait()
        self._in.close()
        self._out.close()

    def _answer(self, until: float) -> bytes:
        return self._read(int.from_bytes(self._read(4, until)), until)

    def _read(self, size: int, until: float) -> bytes:
        pieces = []
        while size > 0:
            left = until - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1e3):
                raise TimeoutError
            piece = self._out.read(size)
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)


def _says(what: str) -> BadRequest:
    return BadRequest(f"the chat template says: {what}", "messages")


# One for the process: what a server starts, its end closes.
RENDERER = Renderer()
