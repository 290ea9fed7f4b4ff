"""Router: which replica a request goes to, the rule of the scheduler one level up.

1. Where the adapter is warm, the one with the fewest jobs, unless the wait there is
   longer than another's by more than a swap costs there, or it has no room: more than
   a quarter of its seats taken, and `balance` times its part of all jobs. So an adapter
   that is too much for one replica spreads to as many as it takes, and leaves them
   again as their slots go to others.
2. If it is warm nowhere: consistent hashing with bounded loads (Mirrokni, Thorup,
   Zadimoghaddam, SODA 2018), the first replica on the name's walk that has room. So
   rare adapters lie in the memory of one replica.
3. The bare model, and who is only ever served mixed: the shortest queue. That is also
   the other of rule 1. Queues are jobs for each seat: replicas are alike.

A wait is what a replica has reported, as in between others begin while others come;
jobs, and what is warm, are as reported and what was sent since, less what was answered.
It answers with a name and keeps no request. Knows no clock, no network and no
randomness; several routers need not know of each other.
"""

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from math import ceil

from scheduler.job import BASE
from scheduler.routing.report import ReplicaReport
from scheduler.routing.ring import Ring
from scheduler.routing.shortest import Shortest

_FREE = 0.25  # of the seats: with fewer jobs a replica has room, whatever others have
_MOST_SENT = 4096  # to a replica since its report: if it is silent for long


@dataclass(slots=True)
class _Replica:
    report: ReplicaReport
    sent: deque[tuple[float, str]] = field(default_factory=deque)  # since the report
    finished: deque[float] = field(default_factory=deque)  # likewise; when

    @property
    def jobs(self) -> int:
        return max(self.report.jobs + len(self.sent) - len(self.finished), 0)

    @property
    def load(self) -> float:
        """Jobs for each seat."""
        return self.jobs / self.report.seats


class Router:
    """One owner, one thread."""

    def __init__(self, *, balance: float = 1.25) -> None:
        assert balance > 1.0, balance
        self._balance = balance
        self._replicas: dict[str, _Replica] = {}
        self._ring = Ring()
        self._loads = Shortest()  # of those that are ready
        self._warm: dict[str, dict[str, int]] = {}  # adapter -> replica -> reasons
        self._jobs = 0  # of those that are ready
        self._seats = 0

    def __len__(self) -> int:
        return len(self._replicas)

    def __repr__(self) -> str:
        warm = len(self._warm)
        return f"<Router {len(self._loads)} of {len(self)} ready, {warm} adapters warm>"

    def report(self, report: ReplicaReport) -> None:
        """Take in what a replica says; it may be a new one. A report that is older than
        the last one of the same replica is passed over."""
        known = self._replicas.get(report.replica)
        if known is None:
            known = self._replicas[report.replica] = _Replica(report)
            self._ring.add(report.replica)
            self._add_warm(report.warm, report.replica)
        elif report.at_s < known.report.at_s:
            return
        else:
            self._count_off(known)
            self._add_warm(report.warm - known.report.warm, report.replica)
            self._drop_warm(known.report.warm - report.warm, report.replica)
            known.report = report
            while known.sent and known.sent[0][0] <= report.at_s:
                self._drop_warm((known.sent.popleft()[1],), report.replica)
            while known.finished and known.finished[0] <= report.at_s:
                known.finished.popleft()
        self._count(known)

    def gone(self, replica: str) -> None:
        """It has left. One that is not known is passed over."""
        if (known := self._replicas.pop(replica, None)) is None:
            return
        self._count_off(known)
        self._ring.remove(replica)
        self._drop_warm(known.report.warm, replica)
        self._drop_warm((adapter for _, adapter in known.sent), replica)

    def choose(
        self, adapter: str, *, can_merge: bool = True, without: Collection[str] = ()
    ) -> str | None:
        """The replica for a request; None if there is none. `can_merge`: False for an
        adapter that is only ever served mixed. `without`: those that have refused it.
        Changes nothing: whoever sends the request says so with `sent`."""
        shortest = self._shortest(without)
        if shortest is None or adapter == BASE or not can_merge:
            return shortest
        holders = self._warm.get(adapter, {})
        able = [r for r in holders if r in self._loads and r not in without]
        if not able:
            return self._home(adapter, without) or shortest
        other = self._replicas[shortest].report
        longest_s, part = other.wait_s + other.cold_swap_s, self._part
        worth = [
            replica
            for replica in able
            if self._replicas[replica].report.wait_s <= longest_s
            and self._has_room(replica, part)
        ]
        return min(worth, key=self._loads.__getitem__, default=shortest)

    def sent(self, adapter: str, replica: str, now: float) -> None:
        """A request is on its way. To a replica that has gone: passed over."""
        if (known := self._replicas.get(replica)) is None:
            return
        self._count_off(known)
        known.sent.append((now, adapter))
        self._add_warm((adapter,), replica)
        if len(known.sent) > _MOST_SENT:
            self._drop_warm((known.sent.popleft()[1],), replica)
        self._count(known)

    def finished(self, replica: str, now: float) -> None:
        """A request that was sent there is over. What it made warm stays so until the
        replica says otherwise. Who hears of no ends need not tell."""
        if (known := self._replicas.get(replica)) is None:
            return
        self._count_off(known)
        known.finished.append(now)
        if len(known.finished) > _MOST_SENT:
            known.finished.popleft()
        self._count(known)

    def _shortest(self, without: Collection[str]) -> str | None:
        if not without:
            return self._loads.least()
        able = [r for r in self._loads if r not in without]
        return min(able, key=self._loads.__getitem__, default=None)

    def _home(self, adapter: str, without: Collection[str]) -> str | None:
        """The first on its walk that is ready and has room."""
        part = self._part
        for replica in self._ring.walk(adapter):
            if (
                replica in self._loads
                and replica not in without
                and self._has_room(replica, part)
            ):
                return replica
        return None

    @property
    def _part(self) -> float:
        """Jobs for each seat that a replica may have, with the next request."""
        return self._balance * (self._jobs + 1) / max(self._seats, 1)

    def _has_room(self, replica: str, part: float) -> bool:
        known = self._replicas[replica]
        seats = known.report.seats
        return known.jobs < max(ceil(part * seats), _FREE * seats)

    def _count(self, known: _Replica) -> None:
        if known.report.is_ready:
            self._jobs += known.jobs
            self._seats += known.report.seats
            self._loads.put(known.report.replica, known.load)

    def _count_off(self, known: _Replica) -> None:
        if known.report.is_ready:
            self._jobs -= known.jobs
            self._seats -= known.report.seats
            self._loads.drop(known.report.replica)

    def _add_warm(self, adapters: Iterable[str], replica: str) -> None:
        for adapter in adapters:
            reasons = self._warm.setdefault(adapter, {})
            reasons[replica] = reasons.get(replica, 0) + 1

    def _drop_warm(self, adapters: Iterable[str], replica: str) -> None:
        for adapter in adapters:
            reasons = self._warm[adapter]
            reasons[replica] -= 1
            if not reasons[replica]:
                del reasons[replica]
            if not reasons:
                del self._warm[adapter]
