"""Message handler: takes the messages. Where a request becomes a job, or is refused.

A request for an adapter that is on disk, or for a sum that is not made yet, waits until
the library has it (`Awaited`).
"""

import logging
from collections.abc import Callable

from hotswap.adapters.generation import Generation
from hotswap.adapters.reserved_names import is_base
from hotswap.adapters.store import Store
from hotswap.engine.adapter_changes import AdapterChanges
from hotswap.engine.awaited import Awaited, Waiting
from hotswap.engine.batch import Batch
from hotswap.engine.job_times import JobTimes
from hotswap.engine.latencies import Latencies
from hotswap.engine.messages import (
    Cancel,
    Drain,
    Lost,
    Message,
    Stop,
    Submit,
    Sync,
)
from hotswap.engine.outbox import Outbox
from hotswap.engine.queue_limits import Admission, QueueLimits
from hotswap.engine.sequence import Sequence
from hotswap.engine.status import Counters
from hotswap.engine.sums import Sums
from hotswap.engine.ticket import Accepted
from hotswap.error_boundary import error_boundary
from hotswap.errors import (
    DeviceLost,
    HotswapError,
    InternalError,
    PromptTooLong,
    Stopping,
)
from hotswap.tokenizer import Tokenizer
from scheduler import BASE, Job, Scheduler

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
        latencies: Latencies,
        tokenizer: Tokenizer,
        eos: frozenset[int],
        limit: int,
        hash_block_tokens: int | None,
        queue_limits: QueueLimits | None,
        fetch: Callable[[str], None],
        sums: Sums,
        clock: Callable[[], float],
    ) -> None:
        """`limit`: most tokens of a prompt and its answer. `hash_block_tokens`: of a
        block of KV that other jobs may find; None: they find none."""
        self._store = store
        self._batch = batch
        self._scheduler = scheduler
        self._tokenizer = tokenizer
        self._outbox = outbox
        self._counters = counters
        self._latencies = latencies
        self._eos = eos
        self._limit = limit
        self._hash_block_tokens = hash_block_tokens
        self._sums = sums
        self._clock = clock
        self.awaited = Awaited(fetch)
        self._admission = Admission(scheduler, self.awaited, queue_limits)
        self._changes = AdapterChanges(
            store,
            batch,
            sums,
            self.awaited,
            submit=self._submit,
            refuse=self._refused,
        )
        self._syncs: list[Sync] = []  # to be answered with the next status
        self.drain_until: float | None = None
        self.is_ending = False

    def handle(self, message: Message) -> None:
        """Act on a message. One that fails concerns its sender; DeviceLost all."""
        try:
            with error_boundary(InternalError):
                self._handle(message)
        except DeviceLost:
            raise
        except HotswapError as error:
            log.error("message failed %s", type(message).__name__, exc_info=error)
            if isinstance(message, Submit):
                self._turn_away(message, error)
                self._cancel(message.ticket.job)

    def _handle(self, message: Message) -> None:
        match message:
            case Submit():
                self._submit(Waiting(message, self._clock()), is_new=True)
            case Cancel(job):
                self._cancel(job)
            case Sync():
                self._syncs.append(message)
            case Drain(limit_s):
                if self.drain_until is None:
                    self.drain_until = self._clock() + limit_s
                for name in self.awaited.names:
                    self._changes.take_up(name)  # whoever waited is refused
            case Stop():
                self.is_ending = True
            case Lost(reason):
                raise DeviceLost(reason)
            case _:
                self._changes.handle(message)

    def published(self) -> None:
        """The status shows all that was handled so far."""
        for sync in self._syncs:
            sync.answer()
        self._syncs.clear()

    def close(self) -> None:
        """Refuse whoever still waits for a read."""
        self.published()
        for waiting in self.awaited:
            self._turn_away(waiting.message, Stopping())
        self.awaited.clear()

    def _submit(self, waiting: Waiting, *, is_new: bool = False) -> None:
        message = waiting.message
        try:
            self._check(message, is_new=is_new)
            if lacking := self._lacking(waiting):
                self.awaited.add(lacking, waiting)
                return
            generation = self._accept(message, waiting.since)
        except HotswapError as error:
            self._refused(waiting, error)
            return
        self._counters.accepted += 1
        self._outbox.put(message.ticket, Accepted(_key(generation)))

    def _refused(self, waiting: Waiting, error: HotswapError) -> None:
        self._turn_away(waiting.message, error)

    def _turn_away(self, message: Submit, error: HotswapError) -> None:
        self._counters.refuse(error)
        self._outbox.put(message.ticket, error)

    def _lacking(self, waiting: Waiting) -> str | None:
        """What has to come before it can be accepted, which is under way then."""
        name = waiting.message.adapter
        if is_base(name):
            return None
        composition = self._sums.composition(name)
        if composition is not None:
            unread = self._sums.unread(name, composition, waiting.parts)
            if not unread:
                is_made = self._sums.make(name, composition, waiting.parts)
                return None if is_made else name
        else:
            unread = [name] if self._store.is_on_disk(name) else []
        for each in unread:
            self.awaited.read(each)
        return unread[0] if unread else None

    def _check(self, message: Submit, *, is_new: bool) -> None:
        if self.drain_until is not None:
            raise Stopping
        self._answer_tokens(message)
        self._admission.check(message, is_new=is_new)

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
            queues=message.queues,
            # Prompts that are scored are computed.
            reads_cache=message.params.prompt_logprobs is None,
        )
        tokenizer = message.tokenizer or self._tokenizer
        eos = self._eos | (message.tokenizer.eos if message.tokenizer else frozenset())
        return Sequence(
            job,
            message,
            generation,
            tokenizer,
            eos,
            times=JobTimes(message.ticket.opened_at, self._latencies.all_swaps),
            hash_block_tokens=self._hash_block_tokens,
        )

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
        self.awaited.cancel(job)


def _key(generation: Generation | None) -> str:
    return generation.key if generation else BASE
