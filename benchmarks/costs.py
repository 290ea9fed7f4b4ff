"""Cost model and simulator against the real engine: `python -m benchmarks.costs`.

One real engine in process (SmolLM2-135M, eight made-up adapters of rank 16 on all
linear modules, four slots, a batch of 16) is calibrated, warmed up on a trace of its
own, and then serves three traces under three policies: closed loops of 16 clients
without and with `stay`, and Poisson arrivals at nine tenths of capacity. The costs go
on learning from run to run, as in a server. The simulator serves each trace by the
costs as they stand after the engine has served it, at the speed that the machine had
meanwhile, which on a shared one moves by half: one factor for each mode, one for cold
swaps.

Told: median relative error of the predictions of steps, by mode, and of cold swaps,
each made before its outcome was known; tokens per second, mean and 99th percentile of
the time to the first token, mean latency per token of an answer, share of time in
swaps; and simulator / engine for throughput and mean latency.

Hides: answers end at their `max_tokens`, so the policies know how long they will be;
HTTP is left out; with so few requests a single slow step shows in a percentile.
"""

import argparse
import asyncio
import json
import statistics
from collections import defaultdict
from collections.abc import Sequence

from benchmarks.cells import Told
from benchmarks.demo_model import adapters, load_model
from benchmarks.setups import BATCH, SLOTS, jobs_of
from benchmarks.traces import Trace, arrivals, generate, length
from benchmarks.watched import KV_TOKENS, RANK, AtSpeed, Watched
from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.model.calibrate import measure
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.network.loaded import Loaded
from hotswap.sampling_params import SamplingParams
from hotswap.short_thread import in_short_thread
from hotswap.tokenizer import Tokenizer
from scheduler import Costs
from scheduler.simulate import CostTable, simulate

COMPARED = ("fcfs-mixed", "fcfs-merged", "affinity")
ADAPTERS = 8
CLOSED = f"closed:{BATCH}"
WARM_UP_SEED, SEED = 7, 1


class Real:
    """The engine: a new one for each run, on one runner."""

    def __init__(self) -> None:
        self._loaded: Loaded = in_short_thread(load_model)
        self._runner = in_short_thread(
            lambda: EagerExecutor(self._loaded, slots=SLOTS, kv_tokens=KV_TOKENS)
        )
        self._made: list[Generation] = in_short_thread(
            lambda: adapters(self._runner, ADAPTERS, RANK)
        )

    def calibrated(self) -> Costs:
        return in_short_thread(lambda: measure(self._runner, BATCH)).costs

    def serve(self, trace: Trace, policy: str, costs: Costs) -> Watched:
        in_short_thread(self._make_cold)
        watched = Watched(policy, costs)
        engine = Engine(
            self._runner,
            watched,
            Store(),
            Tokenizer(self._loaded.tokenizer),
            eos=frozenset(),
            context=KV_TOKENS,
            prefix_cache=False,
            fetch=lambda name: None,  # all are in memory
            compose=lambda order: None,
        )
        for number, generation in enumerate(self._made):
            name = f"a{number}"
            engine.post(Adopt(name, generation, Origin(src=name)))
        engine.start()
        asyncio.run(_send(engine, trace))
        engine.stop(5.0)
        return watched

    def _make_cold(self) -> None:
        self._runner.weights.activate(None)
        for generation in self._made:
            self._runner.forget(generation.key)


async def _send(engine: Engine, trace: Trace) -> None:
    """Send every request when it is due, and wait for all answers."""
    loop = asyncio.get_running_loop()
    free = asyncio.Semaphore(trace.concurrency or len(trace.requests))
    start = loop.time()

    async def client(number: int) -> None:
        request = trace.requests[number]
        await asyncio.sleep(request.at_s - (loop.time() - start))
        async with free:
            ticket = engine.open_ticket()
            tokens = range(request.prompt_tokens)
            engine.post(
                Submit(
                    ticket=ticket,
                    adapter=request.adapter or "",
                    prompt=tuple(1000 + (number * 7 + i) % 997 for i in tokens),
                    params=SamplingParams(
                        max_tokens=request.output_tokens,
                        temperature=0.0,
                        ignore_eos=True,
                    ),
                )
            )
            await ticket.accepted()
            async for _ in ticket.pieces():
                pass

    await asyncio.gather(*(client(n) for n in range(len(trace.requests))))


def on_simulator(trace: Trace, policy: str, costs: Costs, table: CostTable) -> Watched:
    """By `table`; its scheduler starts from `costs`."""
    watched = Watched(policy, _copy(costs))
    simulate(watched, jobs_of(trace), table, slots=SLOTS, clients=trace.concurrency)
    return watched


def make_trace(seed: int, requests: int, when: str, stay: float) -> Trace:
    return generate(
        seed,
        requests,
        arrivals=arrivals(when),
        adapters=[f"a{n}" for n in range(ADAPTERS)],
        zipf=1.0,
        stay=stay,
        prompt=length("lognormal:40,0.5,128"),
        output=length("lognormal:24,0.6,96"),
    )


def capacity(requests: int, table: Costs) -> float:
    """Requests per second of the better fixed policy, always busy, by the simulator."""
    trace = make_trace(SEED, requests, CLOSED, 0.5)
    best = max(
        on_simulator(trace, policy, table, table).told().tokens_per_s
        for policy in ("fcfs-mixed", "fcfs-merged")
    )
    return best / statistics.fmean(r.output_tokens for r in trace.requests)


def _copy(costs: Costs) -> Costs:
    return Costs.restored(costs.state())


def row(name: str, policy: str, real: Told, simulator: Told) -> str:
    return (
        f"| {name} | {policy} | {real.tokens_per_s:.1f} | {real.ttft_mean:.2f} "
        f"| {real.ttft_p99:.2f} | {real.latency:.3f} | {real.swap_share:.3f} "
        f"| {real.merged_share:.2f} | {simulator.tokens_per_s / real.tokens_per_s:.3f} "
        f"| {simulator.latency / real.latency:.3f} |"
    )


def summary(found: Sequence[tuple[Told, Told]]) -> dict[str, float]:
    """How far the simulator is off, over all runs."""
    rates = [
        abs(simulator.tokens_per_s / real.tokens_per_s - 1) for real, simulator in found
    ]
    times = [abs(simulator.latency / real.latency - 1) for real, simulator in found]
    return {
        "simulator off throughput, median": statistics.median(rates),
        "simulator off throughput, most": max(rates),
        "simulator off mean latency, median": statistics.median(times),
        "simulator off mean latency, most": max(times),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.costs")
    parser.add_argument("--requests", type=int, default=60)
    count: int = parser.parse_args().requests
    real = Real()
    costs = real.calibrated()
    # Both modes: affinity alone might not use one of them.
    for policy in ("fcfs-mixed", "fcfs-merged"):
        warm_up = make_trace(WARM_UP_SEED, count // 2, CLOSED, 0.5)
        real.serve(warm_up, policy, costs)
    rate = 0.9 * capacity(count, costs)
    traces = {
        "closed, stay 0": make_trace(SEED, count, CLOSED, 0.0),
        "closed, stay 0.9": make_trace(SEED, count, CLOSED, 0.9),
        f"{rate:.2f}/s, stay 0.5": make_trace(SEED, count, f"poisson:{rate}", 0.5),
    }
    print(
        "| trace | policy | tokens/s | TTFT mean, s | p99 | latency, s/token", end=" "
    )
    print("| swaps | merged rows | simulator / engine, tokens/s | latency |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    errors: dict[str, list[float]] = defaultdict(list)
    found, figures = [], {}
    for name, trace in traces.items():
        for policy in COMPARED:
            before = _copy(costs)
            watched = real.serve(trace, policy, costs)
            table = AtSpeed(costs, watched)
            told, simulator = (
                watched.told(),
                on_simulator(trace, policy, before, table).told(),
            )
            print(row(name, policy, told, simulator), flush=True)
            figures[f"{name}, {policy}, tokens/s"] = told.tokens_per_s
            found.append((told, simulator))
            for kind, seen in watched.errors.items():
                errors[kind] += seen
    figures |= summary(found)
    for kind, seen in errors.items():
        figures[f"error of {kind}, median of {len(seen)}"] = statistics.median(seen)
    for label, value in figures.items():
        print(f"{label:45}{value:10.3f}")
    print(json.dumps({label: round(value, 4) for label, value in figures.items()}))


if __name__ == "__main__":
    main()
