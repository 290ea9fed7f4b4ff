"""Serving: the parts that routes use, and what every route that generates shares."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency

from hotswap.adapters.adapter_info import AdapterInfo
from hotswap.adapters.sidecar import NOTHING, Sidecar
from hotswap.api.encoders import Encoders, Encoding
from hotswap.api.endpoints import Endpoints
from hotswap.api.listings import find, source
from hotswap.api.prompt import Prompt
from hotswap.api.running import Ask, Running
from hotswap.api.selection import Selection, fix, select
from hotswap.api.wire import (
    MOST_VALUES,
    Chat,
    Completion,
    Invocation,
    Names,
    convert,
    decode,
)
from hotswap.engine.engine import Engine
from hotswap.engine.letters import Submit
from hotswap.engine.ticket import Ticket
from hotswap.errors import (
    BadRequest,
    OtherTokenizer,
    Overloaded,
    PromptTooLong,
    UnknownAdapter,
    UnknownModel,
)
from hotswap.library.hooks import Hooks
from hotswap.library.library import Library
from hotswap.library.watch import Watch
from hotswap.tokenizer import Tokenizer
from scheduler import BASE

_Body = TypeVar("_Body", Completion, Chat, Invocation)
_ATTEMPTS = 8  # to encode a prompt for an adapter that is replaced all the time
# Characters of one request that are encoded in place: up to 10 ms. A hop to a thread
# costs a short prompt more than its encoding.
_IN_PLACE = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """`base`, `also_base`: the names of the bare model, the first is what answers say.
    `limit`: most tokens of a prompt and its answer. `max_waiting`: most jobs that wait.
    `memory`: bytes, by what holds them. `directory`: the one that is watched.
    `show_paths`: whether listings may tell where files lie. `answers`: how many went
    out, by HTTP code."""

    engine: Engine
    tokenizer: Tokenizer
    base: str
    limit: int
    max_waiting: int
    started_at: int
    memory: dict[str, int]
    library: Library
    endpoints: Endpoints
    hooks: Hooks
    watch: Watch | None = None
    also_base: tuple[str, ...] = ()
    encoders: Encoders = field(default_factory=Encoders)
    is_lora_enabled: bool = True
    directory: Path | None = None
    show_paths: bool = False
    model_path: str = ""
    answers: Counter[int] = field(default_factory=Counter)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name of the bare model but `base`, which is its name everywhere."""
        return (self.base, *self.also_base)

    def adapter(self, name: str) -> AdapterInfo:
        """Raises UnknownAdapter."""
        found = find(self.engine.status.adapters, name)
        if found is None:
            raise UnknownAdapter(name)
        return found

    @property
    def ended(self) -> tuple[str, ...]:
        """The threads that do not run. While the server is up there must be none."""
        runs = {"engine": self.engine.is_alive, "library": self.library.is_alive}
        if self.watch is not None:
            runs["watch"] = self.watch.is_alive
        return tuple(thread for thread, does in runs.items() if not does)

    @property
    def model_url(self) -> str:
        """Where the model comes from, as anybody may know it."""
        return self.model_path if self.show_paths else self.base

    def source(self, row: AdapterInfo) -> str:
        """Where it comes from, as anybody may know it."""
        return source(row.origin, self.directory, show_paths=self.show_paths)

    def sidecar(self, adapter: str) -> Sidecar:
        """What the adapter's folder asks for by default."""
        return self.library.sidecars.get(adapter, NOTHING)

    async def read(
        self, request: Request, kind: type[_Body], endpoint: str | None = None
    ) -> tuple[_Body, Selection]:
        """The request's body, and the adapter it names or its endpoint stands for.

        With a preprocessing hook the adapter is taken from the body as it came; what
        the hook makes of it is then read as strictly as any body. Raises BadRequest.
        """
        raw = await request.body()
        values = MOST_VALUES + self.limit
        if not self.hooks.can_preprocess:
            body = decode(raw, kind, values)
            return body, self._select(request, body, endpoint)
        selection = self._select(request, decode(raw, Names, values), endpoint)
        if len(set(selection.adapters)) > 1:
            raise BadRequest(
                "`adapters` names several, but this server preprocesses bodies by "
                "adapter: send one request for each",
                selection.field,
            )
        adapter = selection.adapters[0]
        changed = await asyncio.to_thread(
            self.hooks.preprocess, adapter or BASE, msgspec.json.decode(raw)
        )
        return convert(changed, kind), Selection((adapter,), False, selection.field)

    def check_room(self, jobs: int, field: str) -> None:
        """Whether so many jobs of one request may wait, before any of them is made.

        Raises Overloaded, and BadRequest for more than may ever wait.
        """
        if jobs > self.max_waiting:
            raise BadRequest(
                f"`{field}` asks for {jobs} answers: at most {self.max_waiting} may "
                "wait here",
                field,
            )
        status = self.engine.status
        if status.waiting + jobs > self.max_waiting:
            raise Overloaded(
                f"the queue is full: {status.waiting} of at most {self.max_waiting} "
                f"jobs wait already, and this request asks for {jobs}",
                status.queue_s,
            )

    async def open(self, asks: Sequence[Ask], selected_by: str) -> Running:
        """Submit all and wait until all are accepted, or raise and leave none behind.

        `selected_by` names the adapter's field in errors.
        """
        tickets: list[Ticket] = []
        changes = [await self.hooks.change(ask.adapter or BASE) for ask in asks]
        owns = await self._encode_all(asks)
        try:
            for ask, own in zip(asks, owns, strict=True):
                tickets.append(self._submit(ask, own))
            for index, ask in enumerate(asks):
                for _ in range(_ATTEMPTS):
                    if await _is_accepted(tickets[index], ask, selected_by):
                        break
                    (own,) = await self._encode_all([ask])
                    tickets[index] = self._submit(ask, own)
                else:
                    raise OtherTokenizer(ask.adapter)
        except BaseException:
            for ticket in tickets:
                ticket.close()
            raise
        return Running(asks, tickets, changes)

    def _select(
        self,
        request: Request,
        body: Completion | Chat | Invocation | Names,
        endpoint: str | None,
    ) -> Selection:
        found = select(request, body, self.names)
        aliases = self.library.aliases
        names = tuple(aliases.get(name, name) for name in found.adapters)
        selection = Selection(names, found.is_list, found.field)
        if endpoint is None:
            return selection
        return fix(selection, self.endpoints.adapter(endpoint), endpoint)

    async def _encode_all(self, asks: Sequence[Ask]) -> list[Tokenizer | None]:
        """Make the tokens of each prompt; by whom, None is the model's tokenizer.

        The event loop encodes what is short and the model's own; the rest is done
        beside it.
        """
        owns, left = [], _IN_PLACE
        beside: dict[str, list[Encoding]] = {}
        seen: set[Prompt] = set()
        for ask in asks:
            own = await self._own_tokenizer(ask.adapter)
            owns.append(own)
            if ask.prompt in seen:  # a copy's
                continue
            seen.add(ask.prompt)
            one = Encoding(ask.prompt, own or self.tokenizer, self.limit, ask.adapter)
            if not one.is_needed:
                continue
            if own is not None or ask.prompt.is_templated:
                beside.setdefault(f"adapter {ask.adapter}", []).append(one)
            elif one.size <= left:
                left -= one.size
                one()
            else:
                beside.setdefault("", []).append(one)
        for lane, several in beside.items():
            await self.encoders.run(lane, several)
        return owns

    def _submit(self, ask: Ask, own: Tokenizer | None) -> Ticket:
        (own or self.tokenizer).check(ask.stop_tokens, "stop_token_ids")
        prompt = len(ask.prompt.tokens)
        max_tokens = ask.max_tokens or self.limit - prompt
        if prompt + max(max_tokens, 1) > self.limit:
            raise PromptTooLong(
                prompt, max(max_tokens, 1), self.limit, ask.prompt.field
            )
        ticket = self.engine.open_ticket()
        self.engine.post(
            Submit(
                ticket=ticket,
                adapter=ask.adapter,
                prompt=ask.prompt.tokens,
                max_tokens=max_tokens,
                sampling=ask.sampling,
                stop=ask.stop,
                stop_tokens=ask.stop_tokens,
                ignore_eos=ask.ignore_eos,
                priority=ask.priority,
                deadline_s=ask.deadline_s,
                weight=self.sidecar(ask.adapter).weight,
                tokenizer=own,
            )
        )
        return ticket

    async def _own_tokenizer(self, adapter: str) -> Tokenizer | None:
        """What the adapter's prompts are encoded with; None is the model's."""
        tokenizers = self.library.tokenizers
        if adapter in tokenizers and tokenizers[adapter] is None:
            await asyncio.wrap_future(self.library.learn(adapter))
            tokenizers = self.library.tokenizers
        return tokenizers.get(adapter)


async def _is_accepted(ticket: Ticket, ask: Ask, selected_by: str) -> bool:
    """False: its prompt has to be encoded again. Raises the engine's refusal."""
    try:
        await ticket.accepted()
    except OtherTokenizer:
        return False
    except UnknownAdapter as error:
        error.field = selected_by
        if selected_by == "model":
            raise UnknownModel(ask.adapter, error.reason) from None
        raise
    return True


# How a route says that it wants the parts; `app` provides them under this name.
Injected = NamedDependency[Serving]
