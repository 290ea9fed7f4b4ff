"""Status: what the world may know of the engine, frozen, replaced in each round."""

from bisect import bisect_left
from dataclasses import dataclass, field, replace

from hotswap.adapters.adapter_info import AdapterInfo
from hotswap.adapters.store import Store
from hotswap.engine.awaited import Awaited
from hotswap.engine.queues import AdapterQueue
from hotswap.errors import HotswapError, OtherTokenizer
from hotswap.model.executor import Executor
from scheduler import Mode, Outcome, Recent, Scheduler, Step


@dataclass(slots=True)
class Counters:
    """Totals since the start. Mutated by the engine thread only."""

    accepted: int = 0
    refused: int = 0
    refused_by_reason: dict[str, int] = field(default_factory=dict)  # kind of error
    cancelled: int = 0
    failed: int = 0
    finished: int = 0
    stopped: int = 0  # of the finished: by an end or a stop, not by a limit
    merged_steps: int = 0
    mixed_steps: int = 0
    prefill_tokens: int = 0
    generated_tokens: int = 0
    step_seconds: float = 0.0
    warm_swaps: int = 0
    cold_swaps: int = 0
    built_ahead: int = 0  # slots, between the steps of others
    swap_seconds: float = 0.0  # building ahead as well
    # As the scheduler counts them.
    preemptions: int = 0  # jobs sent back, to be computed again when KV is free
    prefix_cache_queries: int = 0  # tokens looked up
    prefix_cache_hits: int = 0  # of those, found

    def copy(self) -> "Counters":
        return replace(self, refused_by_reason=self.refused_by_reason.copy())

    def refuse(self, error: HotswapError) -> None:
        """Count a job that was turned away. One that was encoded with the tokenizer of
        yesterday is not: it comes again."""
        if isinstance(error, OtherTokenizer):
            return
        reason = type(error).__name__
        self.refused += 1
        self.refused_by_reason[reason] = self.refused_by_reason.get(reason, 0) + 1

    def count(
        self, step: Step, outcome: Outcome, *, sampled: int, stopped: int
    ) -> None:
        """Add one step that sampled so many tokens. `stopped`: of the jobs that have
        finished, those that no limit has cut."""
        if step.plan.mode is Mode.MERGED:
            self.merged_steps += 1
        else:
            self.mixed_steps += 1
        self.prefill_tokens += step.prefill_tokens
        self.generated_tokens += sampled
        self.finished += len(outcome.finished)
        self.stopped += stopped
        self.step_seconds += outcome.seconds
        if outcome.swap is not None:
            self.swap_seconds += outcome.swap.seconds
            if outcome.swap.warm:
                self.warm_swaps += 1
            else:
                self.cold_swaps += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    adapters: tuple[AdapterInfo, ...]
    resident: str
    warm: frozenset[str]
    stacked: frozenset[str]  # what runs mixed without being loaded first
    waiting: int
    reading: int  # jobs whose adapter is read or made first
    live: int
    serving: frozenset[str]  # generations of the live ones
    awaited: frozenset[str]  # names of adapters that are read or made for a job
    free_kv_tokens: int
    kv_tokens: int
    loaded_bytes: int  # of adapters in host memory
    batched_lora_bytes: int  # of their copies that run mixed, on the device
    costs: dict[str, float]
    cost_error: float | None  # median relative error of the predictions of steps
    wait_bound_s: float | None  # for the first token of a job accepted now
    gap_bound_s: float | None  # of an adapter within its part of the seats
    queue_s: float  # until all who wait now should have begun: expected, no bound
    queues: tuple[AdapterQueue, ...]  # by adapter, the most jobs first
    recent: tuple[Recent, ...]  # the last decisions
    counters: Counters
    is_stopping: bool

    def adapter(self, name: str) -> AdapterInfo | None:
        """One of `adapters`, which are sorted by name."""
        place = bisect_left(self.adapters, name, key=lambda row: row.name)
        row = self.adapters[place] if place < len(self.adapters) else None
        return row if row is not None and row.name == name else None


def snapshot(
    store: Store,
    scheduler: Scheduler,
    executor: Executor,
    counters: Counters,
    awaited: Awaited,
    *,
    queues: tuple[AdapterQueue, ...],
    is_stopping: bool,
) -> Status:
    """The state now. On the engine thread."""
    counters.preemptions = scheduler.preempted
    queries, hits = scheduler.prefix_tokens
    counters.prefix_cache_queries, counters.prefix_cache_hits = queries, hits
    return Status(
        adapters=store.adapters(),
        resident=executor.weights.resident,
        warm=executor.weights.warm,
        stacked=executor.stacked,
        waiting=scheduler.waiting,
        reading=len(awaited),
        live=scheduler.live,
        serving=scheduler.census.serving(),
        awaited=awaited.wanted,
        free_kv_tokens=scheduler.free_kv_tokens,
        kv_tokens=scheduler.kv_tokens,
        loaded_bytes=store.loaded_bytes,
        batched_lora_bytes=executor.batched_lora_bytes,
        costs=scheduler.costs.table(),
        cost_error=scheduler.costs.error,
        wait_bound_s=scheduler.wait_bound_s,
        gap_bound_s=scheduler.gap_bound_s,
        queue_s=scheduler.queue_s,
        queues=queues,
        recent=tuple(scheduler.recent),
        counters=counters.copy(),
        is_stopping=is_stopping,
    )
