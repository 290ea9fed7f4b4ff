"""Serving: the parts that routes use, and what every route that generates shares."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec
from litestar import Request
from litestar.di import NamedDependency

from hotswap.adapters.listing import Listing
from hotswap.adapters.sidecar import NOTHING, Sidecar
from hotswap.api.endpoints import Endpoints
from hotswap.api.listings import find, source
from hotswap.api.running import Ask, Running
from hotswap.api.selection import HEADER, Named, Selection, fix, select
from hotswap.api.wire import Chat, Completion, Invocation, Names, convert, decode
from hotswap.engine.engine import Engine
from hotswap.engine.letters import Submit
from hotswap.engine.text import Tokenizer
from hotswap.engine.ticket import Ticket
from hotswap.errors import BadRequest, PromptTooLong, UnknownAdapter, UnknownModel
from hotswap.library.hooks import Hooks
from hotswap.library.library import Library
from scheduler import BASE

_Body = TypeVar("_Body", Completion, Chat, Invocation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """`limit`: most tokens of a prompt and its answer. `memory`: bytes, by what holds
    them. `directory`: the one that is watched. `show_paths`: whether listings may tell
    where files lie."""

    engine: Engine
    tokenizer: Tokenizer
    base: str
    limit: int
    started_at: int
    memory: dict[str, int]
    library: Library
    endpoints: Endpoints
    hooks: Hooks
    is_lora_enabled: bool = True
    directory: Path | None = None
    show_paths: bool = False
    model_path: str = ""

    def adapter(self, name: str) -> Listing:
        """Raises UnknownAdapter."""
        found = find(self.engine.status.adapters, name)
        if found is None:
            raise UnknownAdapter(name)
        return found

    @property
    def model_url(self) -> str:
        """Where the model comes from, as anybody may know it."""
        return self.model_path if self.show_paths else self.base

    def source(self, row: Listing) -> str:
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
        if not self.hooks.can_preprocess:
            body = decode(raw, kind)
            return body, self._select(request, body, endpoint)
        selection = self._select(request, decode(raw, Names), endpoint)
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

    async def open(self, asks: Sequence[Ask], field: str, selected_by: str) -> Running:
        """Submit all and wait until all are accepted, or raise and leave none behind.

        `field` names the prompt in errors, `selected_by` the adapter's field.
        """
        tickets: list[Ticket] = []
        changes = [await self.hooks.change(ask.adapter or BASE) for ask in asks]
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
        return Running(asks, tickets, changes)

    def _select(
        self,
        request: Request,
        body: Completion | Chat | Invocation | Names,
        endpoint: str | None,
    ) -> Selection:
        named = Named(
            header=request.headers.get(HEADER),
            query=request.query_params.get("adapter"),
            adapters=body.adapters,
            adapter=body.adapter,
            model=body.model,
        )
        found = select(named, self.base)
        aliases = self.library.aliases
        names = tuple(aliases.get(name, name) for name in found.adapters)
        selection = Selection(names, found.is_list, found.field)
        if endpoint is None:
            return selection
        return fix(selection, self.endpoints.adapter(endpoint), endpoint)

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
                priority=ask.priority,
                deadline_s=ask.deadline_s,
                weight=self.sidecar(ask.adapter).weight,
            )
        )
        return ticket


# How a route says that it wants the parts; `app` provides them under this name.
Injected = NamedDependency[Serving]
