"""Serving: what every route that generates shares - submit, stream, collect, leave.

A `Running` owns the tickets of one request and closes them, whatever happens.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from litestar import Request
from litestar.di import NamedDependency

from hotswap.adapters.library import Library
from hotswap.api.selection import HEADER, Named
from hotswap.engine.engine import Engine
from hotswap.engine.letters import Submit
from hotswap.engine.sampling import SamplingParams
from hotswap.engine.text import Tokenizer
from hotswap.engine.ticket import Piece, Ticket
from hotswap.errors import BadRequest, PromptTooLong, UnknownAdapter, UnknownModel
from scheduler import BASE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One job to be: a prompt, an adapter ("" is base) and how to generate."""

    prompt: list[int]
    adapter: str
    max_tokens: int | None
    sampling: SamplingParams
    stop: tuple[str, ...] = ()
    stop_tokens: frozenset[int] = frozenset()
    ignore_eos: bool = False


@dataclass(slots=True)
class Answer:
    """All pieces of one job, joined."""

    text: str = ""
    tokens: list[Piece] = field(default_factory=list)
    finish: str = ""

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.tokens.append(piece)
        self.finish = piece.finish or ""


class Running:
    """The jobs of one request, accepted. Use `async with`: leaving it frees them."""

    def __init__(self, asks: Sequence[Ask], tickets: Sequence[Ticket]) -> None:
        self._asks = asks
        self._tickets = tickets
        self._modes: dict[int, set[str]] = {}

    @property
    def prompt_tokens(self) -> int:
        return sum(len(ask.prompt) for ask in self._asks)

    def close(self) -> None:
        for ticket in self._tickets:
            ticket.close()

    def headers(self) -> dict[str, str]:
        """What ran, once for all jobs or once for each, in order. A job that has not
        had its first step when the headers go out is `pending`."""
        modes = [
            "+".join(sorted(self._modes.get(i, ["pending"])))
            for i in range(len(self._tickets))
        ]
        return {
            # Any folder name is an adapter's name, but not any is a header's value.
            "x-hotswap-adapter": _joined(
                [quote(a.adapter or BASE) for a in self._asks]
            ),
            "x-hotswap-generation": _joined([t.generation for t in self._tickets]),
            "x-hotswap-mode": _joined(modes),
        }

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """Pieces of all jobs as they come, with the job's index."""
        if len(self._tickets) == 1:
            async for piece in self._tickets[0].pieces():
                self._modes.setdefault(0, set()).add(piece.mode.value)
                yield 0, piece
            return
        merged: asyncio.Queue[tuple[int, Piece | Exception | None]] = asyncio.Queue()

        async def forward(index: int, ticket: Ticket) -> None:
            try:
                async for piece in ticket.pieces():
                    merged.put_nowait((index, piece))
                merged.put_nowait((index, None))
            except Exception as error:
                merged.put_nowait((index, error))

        tasks = [
            asyncio.create_task(forward(i, t)) for i, t in enumerate(self._tickets)
        ]
        try:
            left = len(tasks)
            while left:
                index, item = await merged.get()
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    left -= 1
                    continue
                self._modes.setdefault(index, set()).add(item.mode.value)
                yield index, item
        finally:
            for task in tasks:
                task.cancel()

    async def answers(self) -> list[Answer]:
        """Every job's whole answer."""
        answers = [Answer() for _ in self._tickets]
        async for index, piece in self.pieces():
            answers[index].add(piece)
        return answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """The parts that routes use. `limit`: most tokens of a prompt and its answer."""

    engine: Engine
    tokenizer: Tokenizer
    base: str
    limit: int
    started_at: int
    memory: dict[str, int]
    library: Library

    async def open(self, asks: Sequence[Ask], field: str, selected_by: str) -> Running:
        """Submit all and wait until all are accepted, or raise and leave none behind.

        `field` names the prompt in errors, `selected_by` the adapter's field.
        """
        tickets: list[Ticket] = []
        try:
            for ask in asks:
                tickets.append(self._submit(ask, field))
            for ticket, ask in zip(tickets, asks, strict=True):
                try:
                    await ticket.accepted()
                except UnknownAdapter as error:
                    error.field = selected_by
                    if selected_by == "model":
                        raise UnknownModel(ask.adapter, error.reason) from None
                    raise
        except BaseException:
            for ticket in tickets:
                ticket.close()
            raise
        return Running(asks, tickets)

    def _submit(self, ask: Ask, field: str) -> Ticket:
        prompt = len(ask.prompt)
        if not prompt:
            raise BadRequest(f"`{field}` is empty", field)
        max_tokens = ask.max_tokens or self.limit - prompt
        if prompt + max(max_tokens, 1) > self.limit:
            raise PromptTooLong(prompt, max(max_tokens, 1), self.limit, field)
        ticket = self.engine.open_ticket()
        self.engine.post(
            Submit(
                ticket=ticket,
                adapter=ask.adapter,
                prompt=tuple(ask.prompt),
                max_tokens=max_tokens,
                sampling=ask.sampling,
                stop=ask.stop,
                stop_tokens=ask.stop_tokens,
                ignore_eos=ask.ignore_eos,
            )
        )
        return ticket


# How a route says that it wants the parts; `app` provides them under this name.
Injected = NamedDependency[Serving]


def named(
    request: Request,
    *,
    adapters: str | Sequence[str | None] | None,
    adapter: str | None,
    model: str | None,
) -> Named:
    """The forms of selection that a request carries."""
    return Named(
        header=request.headers.get(HEADER),
        query=request.query_params.get("adapter"),
        adapters=adapters,
        adapter=adapter,
        model=model,
    )


async def collect(request: Request, running: Running) -> list[Answer]:
    """All answers, or CancelledError as soon as the client has gone away."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work = asyncio.create_task(running.answers())
    leaving = asyncio.create_task(gone())
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise asyncio.CancelledError("the client has gone away")
        return work.result()
    finally:
        work.cancel()
        leaving.cancel()
        running.close()


async def primed(
    running: Running, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """`chunks` with the first already made, so that an error still has a status and
    the mode is known. Closes `running` even if the answer is never sent: a started
    generator is closed when it is dropped."""
    try:
        first = await anext(chunks)
    except BaseException:
        running.close()
        raise
    return _resume(first, chunks)


async def _resume(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for chunk in rest:
        yield chunk


def _joined(values: Sequence[str]) -> str:
    return values[0] if len(set(values)) == 1 else ", ".join(values)
