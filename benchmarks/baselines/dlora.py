"""dlora: dynamic batching of dLoRA (Wu et al., OSDI 2024), with our measured costs.

Read in `_credit_schedule` of `vllm/core/scheduler.py`, LLMServe/dLoRA-artifact. While
an adapter has at least `left` times the jobs that first come, first served would run,
it stays merged; an adapter with `right` times as many is merged; else the oldest run
mixed. Both thresholds move by AIMD at each switch, by which of the modes would have
done more since the last. Jobs left out earn credits that others pay; an adapter rich
enough is seated first, unmerged, whatever else.

Departures: the artifact's step and swap times, profiled once for a 7B model, are ours
as measured now. Credits are kept by generation, counted from zero where the artifact
starts at 10000 (n - 1) for n adapters: the differences are the same. When the oldest
job of all is served merged only, its generation runs merged; generations that must not
be merged are never chosen for it.
"""

from collections import Counter, defaultdict
from dataclasses import replace

from scheduler.costs import Mode, StepShape
from scheduler.policy import Load, Plan, View, by_age, merged, mixed

ADD, TIMES = 0.05, 1.1


class Dlora:
    """`fire`: credits that make an adapter rich. As published, that takes some 5,500
    steps of being left out."""

    def __init__(self, fire: float = 10_000.0) -> None:
        self.fire = fire
        self._left = 0.0  # unset until costs are known
        self._right = 1.0
        self._credit: defaultdict[str, float] = defaultdict(float)
        self._fired: set[str] = set()
        self._active: str | None = None  # the merged adapter
        self._steps = 0  # since the last switch
        self._merged_jobs = 0  # that merging would have run since then
        self._mixed_jobs = 0  # that mixing would have run since then
        self._largest = ""
        self._virtual_switches = 0

    def choose(self, view: View) -> Plan:
        front = view.front.generations
        plan = by_age(view, "oldest job first, merged only")
        if plan is not None:
            return plan
        times = _times(view)
        if not self._left:
            self._left = times[0] / times[1]
        first = self._starved(view)
        if first:
            self._change_to(None, times)
            self._trade(Counter(_filled(first, front)), front, 1 / view.max_batch)
            return replace(mixed("rich in credits"), first=first)
        return self._by_batch(view, front, times)

    def _starved(self, view: View) -> tuple[str, ...]:
        """One mention for each seat that goes to adapters with enough credits."""
        release = self.fire / 2
        first: list[str] = []
        rich = [name for name, x in self._credit.items() if x >= release]
        fired = set()
        for name in sorted(rich, key=lambda name: (-self._credit[name], name)):
            load = view.loads.get(name)
            if self._credit[name] >= self.fire or name in self._fired:
                fired.add(name)
                if load is not None and load.can_mix and view.is_runnable(load):
                    seats = view.max_batch - len(first)
                    first += [name] * min(load.jobs, seats)
        self._fired = fired
        return tuple(first)

    def _by_batch(
        self, view: View, front: tuple[str, ...], times: tuple[float, float, float]
    ) -> Plan:
        lowest = -self.fire * max(len(self._credit) - 1, 1)
        largest = next(
            (
                load
                for load in view.runnable(view.backlog.by_size())
                if load.can_merge and self._credit[load.generation] >= lowest
            ),
            None,
        )
        active = view.loads.get(self._active or "")
        chosen: Load | None = None
        if (
            active is not None
            and view.is_runnable(active)
            and active.jobs >= self._left * len(front)
        ):
            chosen = active
            self._steps += 1
        elif largest is not None and largest.jobs >= self._right * len(front):
            chosen = largest
            self._adjust(times)
            self._active, self._steps = largest.generation, 1
        else:
            self._change_to(None, times)
            if largest is not None and largest.generation != self._largest:
                self._virtual_switches += 1
                self._largest = largest.generation
        counted = chosen or largest
        self._merged_jobs += min(counted.jobs if counted else 0, view.max_batch)
        self._mixed_jobs += len(front)
        if chosen is None:
            return mixed("no adapter has enough jobs")
        price = times[1] / times[0] / view.max_batch
        if chosen.jobs < len(front):
            price /= 2
        self._trade(Counter({chosen.generation: len(front)}), front, price)
        return merged(chosen.generation, f"{chosen.jobs} jobs of {len(front)}")

    def _trade(
        self, seated: Counter[str], front: tuple[str, ...], price: float
    ) -> None:
        """Those who would have run earn what those who run instead of them pay."""
        would = Counter(front)
        for name in seated | would:
            self._credit[name] += (would[name] - seated[name]) * price

    def _change_to(self, active: None, times: tuple[float, float, float]) -> None:
        if self._active is None:
            self._steps += 1
            return
        self._adjust(times)
        self._active, self._steps = active, 1

    def _adjust(self, times: tuple[float, float, float]) -> None:
        """AIMD on the thresholds, at a switch out of the mode that `_active` tells."""
        if not self._steps:
            return
        merged_s, mixed_s = times[0] * self._steps, times[1] * self._steps
        if self._active is not None:
            merged_s += times[2]
        else:
            mixed_s += times[2]
            merged_s += times[2] * self._virtual_switches
        gain = self._merged_jobs / merged_s - self._mixed_jobs / mixed_s
        if self._active is not None:
            if gain > 0 and self._right - ADD > self._left:
                self._right -= ADD
            elif gain < 0:
                self._right *= TIMES
        elif gain < 0 and self._left + ADD < self._right:
            self._left += ADD
        elif gain > 0:
            self._left /= TIMES
        self._merged_jobs = self._mixed_jobs = self._virtual_switches = 0
        self._largest = ""


def _times(view: View) -> tuple[float, float, float]:
    """Of a full step merged and mixed, and of a switch."""
    n, front = view.max_batch, view.front
    share = n / max(len(front.generations), 1)
    adapters, ranks = front.adapters, front.ranks
    context = round(front.context_tokens * share)
    merged_s = view.costs.step_s(StepShape(Mode.MERGED, n, 0, 0, 0, context))
    mixed_s = view.costs.step_s(StepShape(Mode.MIXED, n, adapters, ranks, 0, context))
    switch_s = view.costs.swap_s(warm=False, rank=ranks // max(adapters, 1))
    return max(merged_s, 1e-9), max(mixed_s, 1e-9), switch_s


def _filled(first: tuple[str, ...], front: tuple[str, ...]) -> list[str]:
    """Who sits: `first`, then the front in order, whose own are not seated twice."""
    seated, left = list(first), Counter(first)
    for name in front:
        if left[name]:
            left[name] -= 1
        elif len(seated) < len(front):
            seated.append(name)
    return seated
