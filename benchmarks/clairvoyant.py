"""Regret: the policies against a plan that knows the future: `python -m
benchmarks.clairvoyant`.

Small bursts on the simulator: up to 12 requests for three adapters, all there at once,
with answers of at most 12 tokens. The clairvoyant knows how long each answer will be
and the cost table itself, and searches all plans: at every step, one generation merged,
or any set of them mixed. Twice, for the least total time and for the least mean
latency. All jobs of a generation go together, and prompts are short enough to share one
step. The policies do not know the table: they learn, as from an engine. They play
twice: without knowing how long answers will be (each asks for 256 tokens), and `told`
the lengths, so that what is lost by not knowing shows apart from what is lost by
choosing.

Told: regret = the policy's result / the clairvoyant's - 1, median and worst.
"""

import argparse
import heapq
import json
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, combinations, count, product
from random import Random

from benchmarks.baselines import CONTENDERS
from benchmarks.machines import machine
from benchmarks.setups import ASKED, RANK, SLOTS, make_scheduler
from scheduler import BASE, Job, Mode, StepShape
from scheduler.simulate import CostTable, simulate

ADAPTERS = 3


@dataclass(frozen=True, slots=True)
class Request:
    adapter: int
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Result:
    """In seconds from the burst on."""

    total: float
    latency: float  # mean


@dataclass(frozen=True, slots=True)
class State:
    """Steps that each generation has had, whose slot is resident, which are built."""

    steps: tuple[int, ...]
    resident: int | None = None
    warm: frozenset[int] = frozenset()


class Clairvoyant:
    """Dijkstra's shortest path over all states of one burst (Dijkstra 1959): steps cost
    their seconds, or their seconds for each request that is not answered yet."""

    def __init__(self, burst: list[Request], table: CostTable) -> None:
        self._table = table
        self._groups = [
            [r for r in burst if r.adapter == adapter] for adapter in range(ADAPTERS)
        ]

    def best(self) -> Result:
        jobs = sum(map(len, self._groups))
        return Result(self._search(by_job=False), self._search(by_job=True) / jobs)

    def _search(self, *, by_job: bool) -> float:
        start = State(steps=(0,) * ADAPTERS)
        ties = count()
        queue = [(0.0, next(ties), start)]
        least = {start: 0.0}
        while True:
            cost, _, state = heapq.heappop(queue)
            if cost > least[state]:
                continue
            jobs = sum(len(self._left(state, g)) for g in range(ADAPTERS))
            if not jobs:
                return cost
            for seconds, after in self._moves(state):
                reached = cost + seconds * (jobs if by_job else 1)
                if reached < least.get(after, float("inf")):
                    least[after] = reached
                    heapq.heappush(queue, (reached, next(ties), after))

    def _left(self, state: State, group: int) -> list[Request]:
        done = state.steps[group]
        return [r for r in self._groups[group] if r.output_tokens > done]

    def _moves(self, state: State) -> Iterator[tuple[float, State]]:
        groups = [g for g in range(ADAPTERS) if self._left(state, g)]
        for group in groups:
            warm = state.warm | {group}
            seconds = self._seconds(state, Mode.MERGED, (group,))
            if group != state.resident:
                seconds += self._table.swap_s(warm=group in state.warm, rank=RANK)
            yield seconds, State(_advanced(state, (group,)), group, warm)
        sizes = range(1, len(groups) + 1)
        for chosen in chain(*(combinations(groups, size) for size in sizes)):
            seconds = self._seconds(state, Mode.MIXED, chosen)
            if state.resident is not None:
                seconds += self._table.swap_s(warm=True)  # to golden
            yield seconds, State(_advanced(state, chosen), None, state.warm)

    def _seconds(self, state: State, mode: Mode, chosen: tuple[int, ...]) -> float:
        sequences = prefill = context = 0
        for group in chosen:
            left, done = self._left(state, group), state.steps[group]
            prompts = sum(request.prompt_tokens for request in left)
            sequences += len(left)
            if done:
                context += prompts + (done - 1) * len(left)
            else:
                prefill += prompts
        ranks = RANK * len(chosen)
        return self._table.step_s(
            StepShape(mode, sequences, len(chosen), ranks, prefill, context)
        )


def _advanced(state: State, chosen: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n + (group in chosen) for group, n in enumerate(state.steps))


def make_burst(seed: int) -> list[Request]:
    """From 3 to 12 requests in seeded order, some adapters more popular than others."""
    random = Random(seed)
    weights = [random.random() for _ in range(ADAPTERS)]
    return [
        Request(
            random.choices(range(ADAPTERS), weights)[0],
            random.randint(5, 20),
            random.randint(1, 12),
        )
        for _ in range(random.randint(3, 12))
    ]


def play(policy: str, burst: list[Request], table: CostTable, *, told: bool) -> Result:
    """What the policy makes of the simulated burst, `told` the lengths or not."""
    jobs = [
        Job(
            id=number,
            generation=f"a{request.adapter}",
            prompt_tokens=request.prompt_tokens,
            max_tokens=request.output_tokens if told else ASKED,
            arrival=0.0,
            rank=RANK,
        )
        for number, request in enumerate(burst)
    ]
    assert BASE not in {job.generation for job in jobs}, "it has no adapter to count"
    ends = {number: request.output_tokens for number, request in enumerate(burst)}
    scheduler = make_scheduler(policy, table, len(jobs))
    run = simulate(scheduler, jobs, table, slots=SLOTS, ends=ends)
    ended = run.finished_at.values()
    return Result(max(ended), statistics.fmean(ended))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clairvoyant")
    parser.add_argument("--bursts", type=int, default=100)
    seeds = range(parser.parse_args().bursts)
    figures: dict[str, float] = {}
    print(
        "| machine | policy | total time: median | worst | mean latency: median", end=""
    )
    print(" | worst |\n|---|---|---|---|---|---|")
    for name in ("this", "h100-8b"):
        table = machine(name)
        bursts = [make_burst(seed) for seed in seeds]
        best = [Clairvoyant(burst, table).best() for burst in bursts]
        for policy, told in product(CONTENDERS, (False, True)):
            found = [play(policy, burst, table, told=told) for burst in bursts]
            pairs = list(zip(found, best, strict=True))
            total = [mine.total / least.total - 1 for mine, least in pairs]
            late = [mine.latency / least.latency - 1 for mine, least in pairs]
            cells = [statistics.median(total), max(total)]
            cells += [statistics.median(late), max(late)]
            who = f"{policy}, told" if told else policy
            print(f"| {name} | {who} |", " | ".join(f"{x:.3f}" for x in cells), "|")
            figures[f"{name}, {who}, time"] = cells[0]
            figures[f"{name}, {who}, latency"] = cells[2]
    print(json.dumps({label: round(value, 4) for label, value in figures.items()}))


if __name__ == "__main__":
    main()
