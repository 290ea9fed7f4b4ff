"""Ticket: the client's end of a job. An async stream of pieces, and the way to leave.

The engine thread hands over; the event loop reads. Whoever opens a ticket closes it in
`finally`: closing an unfinished one cancels the job.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Literal

from hotswap.engine.job_times import JobStats
from hotswap.errors import HotswapError
from hotswap.model.network.rows import Scored
from scheduler import Mode

# The model's own end, a stop string or token of the request, or its `max_tokens`.
Finish = Literal["eos", "stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one step gave a job. `text` may be empty; `finish` ends the stream.
    `scored`, `prompt`: as a `Sample` has them. `cached_tokens`: of the prompt, whose KV
    another job had computed. `stats`: of the whole job, with `finish`."""

    token: int | None
    text: str
    mode: Mode
    scored: Scored | None = None
    prompt: tuple[Scored, ...] = ()
    finish: Finish | None = None
    stop_reason: str | int | None = None
    cached_tokens: int = 0
    stats: JobStats | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The job is taken; its answer will come from this generation."""

    generation: str


TicketEvent = Accepted | Piece | HotswapError


class Ticket:
    """Made on the event loop by `Engine.open_ticket`; `deliver` runs there too."""

    def __init__(
        self, job: int, cancel: Callable[[int], None], opened_at: float
    ) -> None:
        """`opened_at`: on the engine's clock."""
        self.job = job
        self.opened_at = opened_at
        self.loop = asyncio.get_running_loop()
        self.generation = ""
        self._cancel = cancel
        self._events: asyncio.Queue[TicketEvent] = asyncio.Queue()
        self._is_over = False

    def deliver(self, event: TicketEvent) -> None:
        self._events.put_nowait(event)

    async def accepted(self) -> None:
        """Wait for the engine's answer. Raises what it is refused with."""
        event = await self._next()
        assert isinstance(event, Accepted), event
        self.generation = event.generation

    async def pieces(self) -> AsyncIterator[Piece]:
        """The job's pieces; the last one has `finish`. Raises failures."""
        while not self._is_over:
            event = await self._next()
            assert isinstance(event, Piece), event
            self._is_over = event.finish is not None
            yield event

    def close(self) -> None:
        """Leave. Cancels the job unless it is over. May be called twice."""
        if not self._is_over:
            self._is_over = True
            self._cancel(self.job)

    async def _next(self) -> TicketEvent:
        event = await self._events.get()
        if isinstance(event, HotswapError):
            self._is_over = True
            raise event
        return event
