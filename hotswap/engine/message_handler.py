"""Message handler: takes the messages. Where a request becomes a job, or is refused.

A request for an adapter that is on disk waits here until the library has read it; it is
neither accepted nor refused before. Adapters come and go here, too.
"""

import itertools
import logging
from collections.abc import Callable

from hotswap.adapters.generation import Generation
from hotswap.adapters.reserved_names import is_base
from hotswap.adapters.store import Store
from hotswap.engine.batch import Batch
from hotswap.engine.messages import (
    Adopt,
    Amend,
    Cancel,
    Drain,
    Loading,
    Message,
    Refuse,
    Retire,
    Stop,
    Submit,
    Sync,
)
from hotswap.engine.outbox import Outbox
from hotswap.engine.sequence import Sequence
from hotswap.engine.status import Counters
from hotswap.engine.ticket import Accepted
from hotswap.error_boundary import error_boundary
from hotswap.errors import (
    HotswapError,
    InternalError,
    OtherTokenizer,
    Overloaded,
    PromptTooLong,
    StillLoading,
    Stopping,
)
from hotswap.tokenizer import Tokenizer
from scheduler import BASE, BacklogFull, Job, Scheduler

log = logging.getLogger(__name__)


class MessageHandler:
    """Owned by the engine thread."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        scheduler: Scheduler,
        outbox: Outbox,
        *,
        counters: Counters,
        tokenizer: Tokenizer,
        eos: frozenset[int],
        limit: int,
        fetch: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """`limit`: most tokens of a prompt and its answer."""
        self._store = store
        self._batch = batch
        self._scheduler = scheduler
        self._tokenizer = tokenizer
        self._outbox = outbox
        self._counters = counters
        self._eos = eos
        self._limit = limit
        self._fetch = fetch
        self._clock = clock
        # By adapter, which is on disk: who waits, and since when
        self._awaited: dict[str, list[tuple[float, Submit]]] = {}
        self._syncs: list[Sync] = []  # to be answered with the next status
        self.drain_until: float | None = None
        self.is_ending = False

    def handle(self, message: Message) -> None:
        """Act on a message. One that fails concerns nobody but its sender."""
        try:
            with error_boundary(InternalError):
                self._handle(message)
        except HotswapError as error:
            log.error("message failed %s", type(message).__name__, exc_info=error)
            if isinstance(message, Submit):
                self._outbox.put(message.ticket, error)
                self._cancel(message.ticket.job)

    def _handle(self, message: Message) -> None:
        match message:
            case Submit():
                self._submit(message, self._clock())
            case Cancel(job):
                self._cancel(job)
            case Adopt(name, generation, origin):
                key = generation.key if generation else None
                log.info("adapter found name=%r generation=%s", name, key)
                dropped = self._store.adopt(name, generation, origin)
                self._batch.pin(self._store.pinned)
                self._take_up(name)
                self._batch.forget(dropped)
            case Amend(name, origin):
                self._batch.forget(self._store.amend(name, origin))
                self._batch.pin(self._store.pinned)
            case Loading(name, origin):
                self._store.expect(name, origin)
            case Refuse():
                self._refuse(message)
            case Retire(name):
                self._batch.forget(self._store.retire(name))
                log.info("adapter retired name=%r", name)
                self._take_up(name)
            case Sync():
                self._syncs.append(message)
            case Drain(limit_s):
                if self.drain_until is None:
                    self.drain_until = self._clock() + limit_s
                for name in list(self._awaited):
                    self._take_up(name)  # whoever waited is refused
            case Stop():
                self.is_ending = True

    def published(self) -> None:
        """The status shows all that was handled so far."""
        for sync in self._syncs:
            sync.answer()
        self._syncs.clear()

    def close(self) -> None:
        """Refuse whoever still waits for a read."""
        self.published()
        for _, message in itertools.chain(*self._awaited.values()):
            self._outbox.put(message.ticket, Stopping())
        self._awaited.clear()

    def _refuse(self, message: Refuse) -> None:
        name, reason = message.name, message.reason
        is_news = message.is_readable or self._store.refuse(
            name, reason, message.origin, is_passing=message.is_passing
        )
        if is_news:
            log.warning("adapter refused name=%r reason=%s", name, reason)
        if message.is_passing and self._store.is_on_disk(name):
            for _, waiting in self._awaited.pop(name, ()):
                self._counters.refused += 1
                self._outbox.put(waiting.ticket, StillLoading(name, reason))
        else:
            self._take_up(name)

    def _take_up(self, name: str) -> None:
        """Those who waited for `name` are asked in again."""
        for since, message in self._awaited.pop(name, ()):
            self._submit(message, since)

    def _submit(self, message: Submit, since: float) -> None:
        name = message.adapter
        try:
            self._check(message)
            if not is_base(name) and self._store.is_on_disk(name):
                if name not in self._awaited:
                    self._fetch(name)
                self._awaited.setdefault(name, []).append((since, message))
                return
            generation = self._accept(message, since)
        except HotswapError as error:
            # One in another tokenizer comes again.
            self._counters.refused += not isinstance(error, OtherTokenizer)
            self._outbox.put(message.ticket, error)
            return
        self._counters.accepted += 1
        self._outbox.put(message.ticket, Accepted(_key(generation)))

    def _check(self, message: Submit) -> None:
        if self.drain_until is not None:
            raise Stopping
        self._answer_tokens(message)
        # What waits for the disk is counted with what waits for the scheduler.
        awaited = sum(map(len, self._awaited.values()))
        if awaited + self._scheduler.waiting >= self._scheduler.max_waiting:
            raise Overloaded(
                str(BacklogFull(self._scheduler.max_waiting)),
                retry_after_s=self._scheduler.queue_s,
            )

    def _accept(self, message: Submit, since: float) -> Generation | None:
        generation = None
        if not is_base(message.adapter):
            generation = self._store.lease(message.adapter, message.tokenizer)
        try:
            sequence = self._sequence(message, generation, since)
        except BaseException:
            if generation is not None:
                self._batch.forget(self._store.release(generation))
            raise
        self._batch.add(sequence)
        self._scheduler.submit(sequence.job)
        return generation

    def _sequence(
        self, message: Submit, generation: Generation | None, since: float
    ) -> Sequence:
        due = message.params.deadline_s
        job = Job(
            id=message.ticket.job,
            generation=_key(generation),
            prompt_tokens=len(message.prompt),
            max_tokens=self._answer_tokens(message),
            arrival=self._clock(),
            rank=generation.rank if generation else 0,
            can_merge=generation is None or generation.can_merge,
            can_mix=generation is None or generation.can_mix,
            priority=message.params.priority,
            deadline=None if due is None else since + due,
            weight=message.weight,
        )
        tokenizer = message.tokenizer or self._tokenizer
        eos = self._eos | (message.tokenizer.eos if message.tokenizer else frozenset())
        return Sequence(job, message, generation, tokenizer, eos)

    def _answer_tokens(self, message: Submit) -> int:
        """At least one: a prompt that is only scored ends with a token, too, which
        nobody gets."""
        prompt = len(message.prompt)
        tokens = message.params.answer_tokens(prompt, self._limit, "prompt")
        if prompt >= self._scheduler.kv_tokens:
            raise PromptTooLong(prompt, 1, self._limit, "prompt")
        return max(1, tokens)

    def _cancel(self, job: int) -> None:
        if job in self._batch:
            self._scheduler.cancel(job)
            self._batch.leave(job)
            self._counters.cancelled += 1
        for name, messages in list(self._awaited.items()):
            # A name stays while its read is under way, also if nobody waits for it.
            self._awaited[name] = [x for x in messages if x[1].ticket.job != job]


def _key(generation: Generation | None) -> str:
    return generation.key if generation else BASE
