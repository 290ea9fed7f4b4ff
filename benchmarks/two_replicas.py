"""Two replicas on Ray against one, beside what the simulator says of them:
`python -m benchmarks.two_replicas`, where hotswap[ray] is installed.

SmolLM2-135M and 64 made-up adapters of rank 16, zipf(1), a closed loop of as many
clients for each replica. A replica computes with one thread and is held to one core of
its own. In each round, one after the other:

    costs of one     calibrated in a process on one core, the other one idle
    one              a replica serves a trace, behind Ray Serve's proxy and our router
    costs of both    calibrated in two processes at once, a core each
    two              a second replica comes, and both serve a trace of twice the length

Then the same traces on the simulator, by the costs that were measured before: `two` by
those of both, which share the memory's bandwidth and the last cache, and, to show what
that takes, by those of one.

What it hides: the client, Ray's processes and whatever else the machine does have no
core of their own; on two cores they take theirs from two replicas, and hardly any from
one. `others` says how many cores they used meanwhile. Answers end at their
`max_tokens`, so the policy knows how long they will be, here and there.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean

import ray

from benchmarks.answers import percentile
from benchmarks.cells import tell
from benchmarks.cores import Mean, calibrated, hold_to_cores, machine_s, used_s
from benchmarks.peers import write_adapters
from benchmarks.serve import run as ask
from benchmarks.setups import KV_TOKENS, SLOTS, jobs_of, make_scheduler
from benchmarks.traces import Trace, arrivals, generate, length
from hotswap.demo.__main__ import model_file
from hotswap.model.load import convert_gguf
from scheduler.fleet import simulate_fleet
from scheduler.routing import Router
from scheduler.simulate import Run
from tests.ray.crew import Crew, on_ray
from tests.servers import wait_until

NAMES = [f"a{n}" for n in range(64)]
REPORT_S = 0.5
PROMPT, OUTPUT = "lognormal:40,0.5,128", "lognormal:24,0.6,96"  # as benchmarks.costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Of a run. `ttft`: without those that all came at once. `swaps`: slots built, in
    steps and between them, by 100 requests. `step_ms`: in steps, by token of an answer;
    `busy`: share of the time in steps and swaps. `others`: cores that all else has used
    (measured only)."""

    tokens_per_s: float
    ttft_p50: float
    ttft_p99: float
    swaps: float
    step_ms: float
    busy: float
    others: float = 0.0


Rows = dict[str, Row]


def make_trace(seed: int, replicas: int, clients: int, requests: int) -> Trace:
    return generate(
        seed,
        requests * replicas,
        arrivals=arrivals(f"closed:{clients * replicas}"),
        adapters=NAMES,
        zipf=1.0,
        stay=0.0,
        prompt=length(PROMPT),
        output=length(OUTPUT),
    )


def simulated(trace: Trace, replicas: int, table: Mean) -> Row:
    jobs = jobs_of(trace)
    run = simulate_fleet(
        [make_scheduler("affinity", table, len(jobs)) for _ in range(replicas)],
        jobs,
        table,
        Router(),
        slots=SLOTS,
        clients=trace.concurrency,
        report_s=REPORT_S,
        take_s=table.take_s,
    )
    return row(run, trace, replicas, swaps=run.cold + run.built)


def row(
    run: Run, trace: Trace, replicas: int, *, swaps: float, others: float = 0.0
) -> Row:
    ends = {request.id: request.output_tokens for request in trace.requests}
    later = trace.requests[trace.concurrency or 0 :]
    waits = [run.first_token_at[r.id] - run.arrived_at[r.id] for r in later]
    return Row(
        tokens_per_s=tell(run, jobs_of(trace), ends, 0.0).tokens_per_s,
        ttft_p50=percentile(waits, 50),
        ttft_p99=percentile(waits, 99),
        swaps=100 * swaps / len(ends),
        step_ms=1e3 * run.busy_s / sum(ends.values()),
        busy=(run.busy_s + run.swap_s) / (replicas * max(run.finished_at.values())),
        others=others,
    )


def served(crew: Crew, trace: Trace) -> Row:
    """The same of the replicas that are there."""
    pids = hold_to_cores(b"ray::ServeReplica")
    before, busy_s, own_s = counted(crew), machine_s(), sum(map(used_s, pids))
    begin = time.monotonic()
    result = ask(crew.url, trace)
    wall_s = time.monotonic() - begin
    others = machine_s() - busy_s - (sum(map(used_s, pids)) - own_s)
    assert not result.errors, result.errors[0]
    counts = {name: after - before[name] for name, after in counted(crew).items()}
    run = Run()
    for answer in result.answers:
        number = answer.request.id
        run.arrived_at[number] = answer.start_s
        run.first_token_at[number] = answer.events_s[0]
        run.finished_at[number] = answer.events_s[-1]
    run.busy_s, run.swap_s = counts["step_seconds"], counts["swap_seconds"]
    swaps = counts["cold_swaps"] + counts["built_ahead"]
    return row(run, trace, len(pids), swaps=swaps, others=others / wall_s)


def counted(crew: Crew) -> dict[str, float]:
    """The counters of all replicas together."""
    found = [crew.on(r, "/v1/status").json()["counters"] for r in crew.replicas()]
    names = [name for name, value in found[0].items() if not isinstance(value, dict)]
    return {name: sum(each[name] for each in found) for name in names}


def deployed(crew: Crew, model: Path, replicas: int) -> None:
    crew.deploy(
        replicas,
        limit_s=600,
        model={"path": str(model), "dtype": "auto"},
        memory={
            "budget_gb": 7.0,
            "slots": SLOTS,
            "kv_tokens": KV_TOKENS,
            "prefix_cache": False,
        },
        deploy={"cpus": 1.0, "report_s": REPORT_S},
    )

    def has_all(replica: str) -> bool:
        rows = crew.on(replica, "/v1/adapters").json()["data"]
        return {r["name"] for r in rows if r["state"] == "ready"} >= set(NAMES)

    for replica in crew.replicas():
        wait_until(lambda on=replica: has_all(on), limit_s=300)  # type: ignore[misc]


def told(rows: Rows) -> None:
    print("| | tokens/s | TTFT p50, s | p99 | swaps | step ms | busy | others |")
    print("|---|---|---|---|---|---|---|---|")
    for name, r in rows.items():
        cells = f"{r.tokens_per_s:.1f} | {r.ttft_p50:.2f} | {r.ttft_p99:.2f}"
        cells += f" | {r.swaps:.1f} | {r.step_ms:.2f} | {r.busy:.2f} | {r.others:.2f}"
        print(f"| {name} | {cells} |", flush=True)


def mean(rows: Sequence[Row]) -> Row:
    names = [field.name for field in fields(Row)]
    return Row(**{name: fmean(getattr(r, name) for r in rows) for name in names})


def played(crew: Crew, model: Path, seed: int, clients: int, requests: int) -> Rows:
    """A round. Replicas of the last one are idle while costs are measured."""
    found: Rows = {}
    of_one = calibrated(1)
    for replicas, name in ((1, "one"), (2, "two")):
        costs = of_one if replicas == 1 else calibrated(2)
        deployed(crew, model, replicas)
        trace = make_trace(seed, replicas, clients, requests)
        served(crew, make_trace(1000 + seed, replicas, clients, requests // 4))
        found[f"{name}, measured"] = served(crew, trace)
        found[f"{name}, simulated"] = simulated(trace, replicas, costs)
    found["two, simulated by the costs of one"] = simulated(trace, 2, of_one)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.two_replicas")
    parser.add_argument("--clients", type=int, default=32, help="of each replica")
    parser.add_argument("--requests", type=int, default=128, help="of each replica")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, ray {ray.__version__}")
    model = convert_gguf(model_file())
    rounds: list[Rows] = []
    with tempfile.TemporaryDirectory() as root, on_ray():
        crew = Crew(Path(root), model)
        write_adapters(model, crew.directory, NAMES)
        for seed in range(args.seed, args.seed + args.rounds):
            rounds.append(played(crew, model, seed, args.clients, args.requests))
            told(rounds[-1])
        crew.close()
    means = {name: mean([each[name] for each in rounds]) for name in rounds[0]}
    print(f"\nmeans of {args.rounds} rounds")
    told(means)
    print(json.dumps({name: asdict(each) for name, each in means.items()}))


if __name__ == "__main__":
    main()
