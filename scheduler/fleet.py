"""The simulator, many times: replicas on one virtual clock, and who chooses among them.

Each replica is the real Scheduler on an engine of its own, and has so many adapters in
memory; another one is read first, and its request waits. It publishes a report each
`report_s` seconds, one replica after the other; what it says may be a step older or
younger than the moment it is of. Deterministic. The network takes no time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import Protocol

from scheduler.decision import Step
from scheduler.job import BASE, Job
from scheduler.routing.report import ReplicaReport
from scheduler.scheduler import Scheduler
from scheduler.simulated_engine import CostTable, Run, SimulatedEngine


class Balancer(Protocol):
    """Who chooses a replica for each request, and is told when it has been answered."""

    def report(self, report: ReplicaReport) -> None: ...
    def choose(self, adapter: str) -> str | None: ...
    def sent(self, adapter: str, replica: str, now: float) -> None: ...
    def finished(self, replica: str, now: float) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where adapters lie. A replica holds the `most` used last in its memory."""

    read_s: float
    most: int


@dataclass(slots=True)
class _Replica:
    name: str
    engine: SimulatedEngine
    memory: dict[str, None] = field(default_factory=dict)  # used last at the end
    reading: int = 0  # jobs that wait for their adapter
    is_busy: bool = False

    def has(self, adapter: str, most: int) -> bool:
        """Whether it is in memory; it is from now on."""
        held = adapter == BASE or adapter in self.memory
        self.memory.pop(adapter, None)
        self.memory[adapter] = None
        if len(self.memory) > most:
            del self.memory[next(iter(self.memory))]
        return held

    def report(self, rank: int, now: float) -> ReplicaReport:
        scheduler = self.engine.scheduler
        return ReplicaReport(
            replica=self.name,
            at_s=now,
            warm=scheduler.census.present().union(self.engine.held.warm),
            wait_s=scheduler.queue_s,
            jobs=scheduler.live + scheduler.waiting + self.reading,
            seats=scheduler.max_batch,
            cold_swap_s=scheduler.costs.swap_s(warm=False, rank=rank),
        )


_COMES, _TELLS, _STEPS = range(3)  # the order of what happens at the same time
_Happens = Callable[[float], None]


@dataclass(slots=True, kw_only=True)
class _Fleet:
    balancer: Balancer
    replicas: Mapping[str, _Replica]
    trace: Iterator[Job]
    is_closed: bool  # the next job comes when one has been answered
    storage: Storage | None
    report_s: float
    rank: int
    run: Run
    jobs: int = 0  # that are there
    count: int = 0
    events: list[tuple[float, int, int, _Happens]] = field(default_factory=list)

    def at(self, when: float, order: int, happens: _Happens) -> None:
        self.count += 1
        heappush(self.events, (when, order, self.count, happens))

    def arrive(self, now: float) -> None:
        """The next job of the trace, if there is one: now, or when the trace says."""
        job = next(self.trace, None)
        if job is None:
            return
        if self.is_closed:
            job.arrival = now
        self.jobs += 1
        self.at(job.arrival, _COMES, partial(self.route, job))

    def route(self, job: Job, now: float) -> None:
        name = self.balancer.choose(job.generation)
        assert name is not None, "a fleet of nobody"
        self.balancer.sent(job.generation, name, now)
        self.run.arrived_at[job.id] = now
        replica = self.replicas[name]
        replica.reading += 1
        if self.storage is None or replica.has(job.generation, self.storage.most):
            self.submit(job, replica, now)
        else:
            self.run.reads += 1
            read = partial(self.submit, job, replica)
            self.at(now + self.storage.read_s, _COMES, read)
        if not self.is_closed:
            self.arrive(now)

    def submit(self, job: Job, replica: _Replica, now: float) -> None:
        replica.reading -= 1
        replica.engine.scheduler.submit(job)
        if not replica.is_busy:
            replica.is_busy = True
            replica.engine.now = now
            self.at(now, _STEPS, partial(self.step, replica))

    def step(self, replica: _Replica, now: float) -> None:
        """One step, which lasts until the next one, or none if all are answered."""
        engine = replica.engine
        decision = engine.scheduler.decide(now)
        replica.is_busy = isinstance(decision, Step)
        if isinstance(decision, Step):
            for _ in engine.step(decision):
                self.at(engine.now, _COMES, partial(self.end, replica))
            self.at(engine.now, _STEPS, partial(self.step, replica))

    def end(self, replica: _Replica, now: float) -> None:
        self.jobs -= 1
        self.balancer.finished(replica.name, now)
        if self.is_closed:
            self.arrive(now)

    def tell(self, replica: _Replica, now: float) -> None:
        """What it reports, and again while there is something to do."""
        self.balancer.report(replica.report(self.rank, now))
        if self.jobs:
            self.at(now + self.report_s, _TELLS, partial(self.tell, replica))


def simulate_fleet(
    schedulers: Sequence[Scheduler],
    trace: Iterable[Job],
    table: CostTable,
    balancer: Balancer,
    *,
    slots: int = 1,
    clients: int | None = None,
    ends: Mapping[int, int] | None = None,
    storage: Storage | None = None,
    report_s: float = 0.5,
    take_s: float = 0.0,
) -> Run:
    """Serve every job of `trace`, in arrival order, and return what happened: times and
    totals of all replicas together, which are called r0, r1 and so on. `clients`, of
    the whole fleet, and `ends` are as in `simulate`. Without `storage` all adapters are
    in memory everywhere. `take_s`: what a mixed step takes longer for each adapter that
    those before it had not."""
    run, jobs = Run(keeps_steps=False), list(trace)
    last = {job.id: job.max_tokens for job in jobs}
    last |= {job_id: min(n, last[job_id]) for job_id, n in (ends or {}).items()}
    ranks = {job.generation: job.rank for job in jobs}
    replicas = {
        f"r{n}": _Replica(
            f"r{n}",
            SimulatedEngine(
                *(scheduler, table, run, slots),
                ranks=ranks,
                last=last,
                take_s=take_s,
            ),
        )
        for n, scheduler in enumerate(schedulers)
    }
    fleet = _Fleet(
        balancer=balancer,
        replicas=replicas,
        trace=iter(jobs),
        is_closed=clients is not None,
        storage=storage,
        report_s=report_s,
        rank=max(ranks.values(), default=0),
        run=run,
    )
    for n, replica in enumerate(replicas.values()):
        balancer.report(replica.report(fleet.rank, 0.0))
        first = report_s * (n + 1) / len(replicas)
        fleet.at(first, _TELLS, partial(fleet.tell, replica))
    for _ in range(clients or 1):
        fleet.arrive(0.0)
    while fleet.events:
        now, _, _, happens = heappop(fleet.events)
        happens(now)
    run.end = max(replica.engine.now for replica in replicas.values())
    return run
