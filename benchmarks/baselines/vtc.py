"""vtc: the Virtual Token Counter of fair serving (Sheng et al., OSDI 2024), mixed.

Read in `slora/server/router/vtc_req_queue.py` of S-LoRA/S-LoRA; a client is an adapter.
Running jobs go on. Of those that wait, the next of the client with the smallest counter
is admitted. A counter grows by 1 for a prompt token and 2 for a generated one, over the
client's weight; a client whose queue was empty is lifted to the smallest counter of
those that wait.

Departures: a prompt is charged as its chunks are computed, not whole on admission (an
average prompt stands for it while seats are dealt). When the oldest job of all is
served merged only, its generation runs merged.
"""

from collections import defaultdict
from dataclasses import replace
from heapq import heapify, heappop, heappush

from scheduler.policy import JobView, Plan, View, by_age, mixed

INPUT, OUTPUT = 1.0, 2.0


class Vtc:
    def __init__(self) -> None:
        self._counters: defaultdict[str, float] = defaultdict(float)
        self._queued: set[str] = set()
        # Every job that the last view had, and how far it was then
        self._seen: dict[int, tuple[JobView, int, int]] = {}

    def choose(self, view: View) -> Plan:
        self._charge(view)
        queued = {name for name, load in view.loads.items() if load.waiting}
        self._lift(queued)
        plan = by_age(view, "oldest job first, merged only")
        return plan or replace(mixed("smallest counter"), first=self._first(view))

    def _charge(self, view: View) -> None:
        """For what was done since the last view, also of jobs that ended with it."""
        for job, prefilled, generated in self._seen.values():
            if _prefilled(job) > prefilled:
                price = INPUT * (_prefilled(job) - prefilled)
            else:
                price = OUTPUT * (job.generated - generated)
            if price:
                load = view.loads.get(job.generation)
                weight = 1.0 if load is None else load.weight
                self._counters[job.generation] += price / weight
        unfinished = {**view.backlog.waiting, **view.backlog.live}
        self._seen = {
            n: (job, _prefilled(job), job.generated) for n, job in unfinished.items()
        }

    def _lift(self, queued: set[str]) -> None:
        known = [self._counters[name] for name in queued & self._queued]
        for name in queued - self._queued:
            if known:
                self._counters[name] = max(self._counters[name], min(known))
        self._queued = queued

    def _first(self, view: View) -> tuple[str, ...]:
        first = [
            load.generation
            for load in view.backlog.by_age()
            if load.can_mix
            for _ in range(load.live)
        ]
        waiting = [view.loads[name] for name in self._queued]
        heap = [
            (self._counters[load.generation], load.first_order, load.generation)
            for load in view.runnable(waiting)  # others would close the seats for all
            if load.can_mix
        ]
        heapify(heap)
        left = {load.generation: load.waiting for load in waiting}
        while heap and len(first) < view.max_batch:
            counter, order, name = heappop(heap)
            first.append(name)
            left[name] -= 1
            if left[name]:
                load = view.loads[name]
                prompt = load.unfilled_tokens / max(load.unanswered, 1)
                heappush(heap, (counter + INPUT * prompt / load.weight, order, name))
        return tuple(first)


def _prefilled(job: JobView) -> int:
    """Tokens of its prompt that were computed."""
    return min(job.computed, job.prompt_tokens)
