"""The backlog: all unfinished jobs, grouped by generation.

Order inside a group is arrival order, always. Waiting jobs hold no KV; live jobs
(running or parked) do. For each group the backlog keeps a `Load`, the numbers a policy
may see, renewed only when the group changes. Knows no clock and no policy.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from types import MappingProxyType

from scheduler.job import Job, JobState


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a policy may know of one generation's jobs."""

    generation: str
    waiting: int
    live: int
    oldest_arrival: float
    oldest_served_at: float  # least recent service of any job; arrival if never served
    head_kv_tokens: int  # KV the first waiting job asks for; 0 if none waits
    remaining_tokens: int  # sum over its jobs of the tokens they may still generate

    @property
    def jobs(self) -> int:
        return self.waiting + self.live


@dataclass(slots=True)
class _Group:
    # dicts as ordered sets: insertion is arrival order, removal is O(1)
    waiting: dict[int, Job] = field(default_factory=dict)
    live: dict[int, Job] = field(default_factory=dict)
    waiting_tokens: int = 0  # sum of what the waiting jobs may generate


class Backlog:
    """Owned by the scheduler. `loads` is a live, read-only mapping."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}
        self._waiting: dict[int, Job] = {}
        self._live: dict[int, Job] = {}
        self._loads: dict[str, Load] = {}
        self.loads: Mapping[str, Load] = MappingProxyType(self._loads)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._live)

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    @property
    def live_count(self) -> int:
        return len(self._live)

    def push(self, job: Job) -> None:
        """Append a waiting job to its group."""
        group = self._groups.setdefault(job.generation, _Group())
        group.waiting[job.id] = job
        group.waiting_tokens += job.max_tokens
        self._waiting[job.id] = job
        self.renew(job.generation)

    def get(self, job_id: int) -> Job | None:
        return self._live.get(job_id) or self._waiting.get(job_id)

    def admit(self, job: Job) -> None:
        """Move a waiting job to the live ones of its group."""
        group = self._groups[job.generation]
        group.live[job.id] = group.waiting.pop(job.id)
        group.waiting_tokens -= job.max_tokens
        self._live[job.id] = self._waiting.pop(job.id)

    def remove(self, job: Job) -> None:
        """Forget a job, waiting or live."""
        group = self._groups[job.generation]
        if group.waiting.pop(job.id, None) is not None:
            group.waiting_tokens -= job.max_tokens
        group.live.pop(job.id, None)
        self._waiting.pop(job.id, None)
        self._live.pop(job.id, None)
        if not group.waiting and not group.live:
            del self._groups[job.generation]
        self.renew(job.generation)

    def oldest_waiting(self) -> Job | None:
        return next(iter(self._waiting.values()), None)

    def live(self) -> list[Job]:
        return list(self._live.values())

    def in_arrival_order(self, generation: str | None = None) -> Iterator[Job]:
        """Jobs of one generation, or of all, oldest first. Valid until a change."""
        if generation is None:
            live: list[Job] = sorted(self._live.values(), key=_arrival)
            yield from merge(live, self._waiting.values(), key=_arrival)
        else:
            # A group admits in arrival order, so its live jobs are the older ones.
            group = self._groups[generation]
            yield from group.live.values()
            yield from group.waiting.values()

    def renew(self, generation: str) -> None:
        """Recompute the load of one group after its jobs moved or made progress."""
        group = self._groups.get(generation)
        if group is None:
            self._loads.pop(generation, None)
            return
        head = next(iter(group.waiting.values()), None)
        live = group.live.values()
        oldest = next(iter(group.live.values()), None) or head
        assert oldest is not None, "a group without jobs is deleted"
        served = [job.served_at for job in live]
        if head is not None:
            served.append(head.served_at)
        self._loads[generation] = Load(
            generation=generation,
            waiting=len(group.waiting),
            live=len(group.live),
            oldest_arrival=oldest.arrival,
            oldest_served_at=min(served),
            head_kv_tokens=head.kv_tokens if head else 0,
            remaining_tokens=sum(job.remaining_tokens for job in live)
            + group.waiting_tokens,
        )

    def check(self) -> None:
        """Assert that the indexes agree. For tests and for an idle engine."""
        assert set(self._loads) == set(self._groups), "a load without its group"
        waiting = {i for g in self._groups.values() for i in g.waiting}
        live = {i for g in self._groups.values() for i in g.live}
        assert waiting == set(self._waiting), "waiting index differs"
        assert live == set(self._live), "live index differs"
        for job in self._waiting.values():
            assert job.state is JobState.WAITING, f"{job} is listed as waiting"
        for job in self._live.values():
            assert job.state in (JobState.RUNNING, JobState.PARKED), f"{job} is live"


def _arrival(job: Job) -> tuple[float, int]:
    return job.arrival, job.id
