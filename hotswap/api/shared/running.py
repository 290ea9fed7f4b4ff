"""Running: the jobs of one request, from their acceptance to their last piece.

A `Running` owns the tickets of one request and closes them, whatever happens.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar
from urllib.parse import quote

from litestar import Request

from hotswap.api.shared.http_errors import ClientGone
from hotswap.api.shared.job_request import JobRequest
from hotswap.engine.ticket import Finish, Piece, Ticket
from hotswap.library.hooks import Change
from hotswap.tokenizer import Tokenizer
from scheduler import BASE

T = TypeVar("T")


@dataclass(slots=True)
class Answer:
    """All pieces of one job, joined."""

    text: str = ""
    tokens: list[Piece] = field(default_factory=list)
    finish: Finish | None = None

    def add(self, piece: Piece) -> None:
        self.text += piece.text
        self.tokens.append(piece)
        self.finish = piece.finish

    @property
    def generated(self) -> int:
        """Tokens; none where a prompt was only scored."""
        return sum(piece.token is not None for piece in self.tokens)


class Running:
    """The jobs of one request, accepted. Whoever has one calls `close`."""

    def __init__(
        self,
        requests: Sequence[JobRequest],
        tickets: Sequence[Ticket],
        changes: Sequence[Change | None],
        tokenizers: Sequence[Tokenizer],
        *,
        keeps_texts: bool = False,
    ) -> None:
        """Of each job: what the hooks do to its text, None for nothing; and what its
        tokens are written in."""
        self.tokenizers = tokenizers
        self.requests = requests
        self._tickets = tickets
        self._changes = changes
        self._modes: dict[int, set[str]] = {}
        self.cached: dict[int, int] = {}  # prompt tokens, of each job with a piece
        self.generated = 0  # tokens
        self.lasts: dict[int, Piece] = {}  # of each job that is over
        # As generated, before any hook
        self.texts = [""] * len(tickets) if keeps_texts else None
        self.first_at: float | None = None  # the first piece, on the loop's clock

    @property
    def has_begun(self) -> bool:
        """Whether a piece has come: an error before has a status of its own."""
        return bool(self._modes)

    @property
    def asked_at(self) -> float:
        """When its jobs were posted: on the engine's clock, which is the loop's."""
        return self._tickets[0].opened_at

    @property
    def is_over(self) -> bool:
        """Whether every job has had its last piece."""
        return len(self.lasts) == len(self._tickets)

    @property
    def modes(self) -> set[str]:
        """In which steps gave its jobs tokens so far."""
        return set().union(*self._modes.values())

    @property
    def prompt_tokens(self) -> int:
        """Of each prompt once, however many copies answer it."""
        prompts = {id(each.prompt): each.prompt for each in self.requests}
        return sum(len(prompt.tokens) for prompt in prompts.values())

    @property
    def cached_tokens(self) -> int:
        """Of each prompt once, those that a job before this request had computed: what
        a copy has found may be another copy's work. Whole with the last pieces."""
        least: dict[int, int] = {}
        for index, tokens in self.cached.items():
            prompt = id(self.requests[index].prompt)
            least[prompt] = min(tokens, least.get(prompt, tokens))
        return sum(least.values())

    @property
    def generations(self) -> str:
        """Of the adapters that answer: one for all jobs, or one for each, in order."""
        return _joined([ticket.generation for ticket in self._tickets])

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
                [quote(each.adapter or BASE) for each in self.requests]
            ),
            "x-hotswap-generation": self.generations,
            "x-hotswap-mode": _joined(modes),
        }

    async def pieces(self) -> AsyncIterator[tuple[int, Piece]]:
        """Pieces of all jobs as they come, with the job's index."""
        async with aclosing(self._raw()) as raw:
            async for index, piece in raw:
                self._note(index, piece)
                change = self._changes[index]
                if change is None:
                    yield index, piece
                else:
                    is_last = piece.finish is not None
                    text = await asyncio.to_thread(change, piece.text, is_last)
                    yield index, replace(piece, text=text)

    def _note(self, index: int, piece: Piece) -> None:
        if self.first_at is None:
            self.first_at = asyncio.get_running_loop().time()
        self._modes.setdefault(index, set()).add(piece.mode.value)
        self.cached[index] = piece.cached_tokens
        self.generated += piece.token is not None
        if self.texts is not None:
            self.texts[index] += piece.text
        if piece.finish is not None:
            self.lasts[index] = piece

    async def _raw(self) -> AsyncGenerator[tuple[int, Piece], None]:
        if len(self._tickets) == 1:
            async for piece in self._tickets[0].pieces():
                yield 0, piece
            return
        pieces: asyncio.Queue[tuple[int, Piece | Exception | None]] = asyncio.Queue()

        async def forward(index: int, ticket: Ticket) -> None:
            try:
                async for piece in ticket.pieces():
                    pieces.put_nowait((index, piece))
                pieces.put_nowait((index, None))
            except Exception as error:
                pieces.put_nowait((index, error))

        tasks = [
            asyncio.create_task(forward(i, t)) for i, t in enumerate(self._tickets)
        ]
        try:
            left = len(tasks)
            while left:
                index, item = await pieces.get()
                if isinstance(item, Exception):
                    raise item
                if item is None:
                    left -= 1
                    continue
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


async def collect(request: Request, running: Running) -> list[Answer]:
    """All answers. Raises ClientGone as soon as the client has left."""
    try:
        return await unless_gone(request, running.answers())
    finally:
        running.close()


async def unless_gone(request: Request, doing: Coroutine[Any, Any, T]) -> T:
    """What it gives, or what it raises; ClientGone as soon as the client has left."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    work = asyncio.create_task(doing)
    leaving = asyncio.create_task(gone())
    try:
        await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise ClientGone
        return work.result()
    finally:
        work.cancel()
        leaving.cancel()


class Closable(Protocol):
    def close(self) -> None: ...


async def primed(
    running: Closable, chunks: AsyncIterator[bytes]
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
