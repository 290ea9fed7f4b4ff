"""What must not grow: `python -m benchmarks.bounds`.

- memory after 2,000 swaps over eight adapters and four slots, against after 20
- tokens per second of the engine with 1,000 registered adapters, against one
- tokens per second over HTTP (16 streaming clients), against the engine in process
- a decoding step of 16 sequences at a context of 2,000 tokens, against 100

SmolLM2-135M, rank 16 on all linear modules; contenders alternate, medians.
Hides: the client of the third is a process on the same cores as the server.
"""

import asyncio
import json
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvicorn

from benchmarks.demo_model import adapters, load_model
from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.api.application import application
from hotswap.api.request_bodies import BodyLimits
from hotswap.api.shared.endpoints import Endpoints
from hotswap.api.shared.server_state import ServerState
from hotswap.api.shared.submission import Submitter
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt, Submit
from hotswap.errors import AdapterRefused
from hotswap.library.adapter_sources import Sources
from hotswap.library.hooks import Hooks
from hotswap.library.journal import Journal
from hotswap.library.library import Library
from hotswap.library.registry import Registry
from hotswap.model.calibrate import calibrate
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.machine.budget import MemoryPlan
from hotswap.model.network.loaded import Loaded
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from hotswap.short_thread import in_short_thread
from hotswap.tokenizer import Tokenizer
from scheduler import POLICIES, Scheduler, SchedulerLimits

CLIENTS, PROMPT, OUTPUT, ROUNDS = 16, 80, 64, 3
PORT = 18431


def make_engine(
    runner: EagerExecutor, loaded: Loaded, registered: list[Generation]
) -> Engine:
    scheduler = Scheduler(
        POLICIES["affinity"](),
        SchedulerLimits(
            kv_tokens=runner.kv_tokens,
            max_batch=CLIENTS,
            max_waiting=1000,
            prefill_tokens=256,
            patience_s=1.0,
        ),
        costs=in_short_thread(lambda: calibrate(runner, CLIENTS)),
    )
    engine = Engine(
        runner,
        scheduler,
        Store(),
        Tokenizer(loaded.tokenizer),
        eos=frozenset(),
        context=8192,
        prefix_cache=False,
        fetch=lambda name: None,  # all are in memory
        compose=lambda order: None,
    )
    for number, generation in enumerate(registered):
        engine.post(Adopt(f"a{number}", generation, Origin(src="memory")))
    return engine


async def in_process(engine: Engine) -> float:
    """Tokens per second of 16 clients that each ask twice, one after the other."""

    params = SamplingParams(max_tokens=OUTPUT, temperature=0.0, ignore_eos=True)

    async def client(number: int) -> None:
        for turn in range(2):
            ticket = engine.open_ticket()
            prompt = tuple(1000 + (number * 7 + turn + i) % 997 for i in range(PROMPT))
            engine.post(
                Submit(ticket=ticket, adapter="a0", prompt=prompt, params=params)
            )
            await ticket.accepted()
            async for _ in ticket.pieces():
                pass

    start = time.perf_counter()
    await asyncio.gather(*map(client, range(CLIENTS)))
    return 2 * CLIENTS * OUTPUT / (time.perf_counter() - start)


def nothing_is_read(source: object) -> Generation:
    raise AdapterRefused("no_source", "the adapters are made in memory")


def over_http(engine: Engine, loaded: Loaded, memory: MemoryPlan) -> float:
    """The same through the routes, asked by `benchmarks.serve` in its own process."""
    library = Library()
    library.open(
        Registry(
            nothing_is_read,
            engine.post,
            compose=nothing_is_read,
            sources=Sources([]),
            journal=Journal(None),
            hooks=Hooks(),
            max_adapters=1,
            max_pinned=None,
        )
    )
    state = ServerState(
        engine=engine,
        base="base",
        started_at=0,
        memory=memory,
        library=library,
        endpoints=Endpoints(None),
        hooks=Hooks(),
    )
    own, eos, most = Tokenizer(loaded.tokenizer), loaded.eos, 1000
    parts = engine, library, own, Hooks()
    submitter = Submitter(*parts, eos=eos, max_waiting=most, most_jobs=most)
    bodies = BodyLimits(body_bytes=10**7, all_bodies_bytes=10**8, body_s=60)
    served = application(state, submitter, 5.0, bodies)
    config = uvicorn.Config(served, port=PORT, log_config=None, access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    command = [sys.executable, "-m", "benchmarks.serve", "--adapters", "a0"]
    command += ["--url", f"http://127.0.0.1:{PORT}", "--arrivals", f"closed:{CLIENTS}"]
    command += ["--requests", str(2 * CLIENTS), "--output-tokens", f"fixed:{OUTPUT}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    server.should_exit = True
    thread.join()
    return float(json.loads(output.splitlines()[-1])["tokens_per_s"])


def run_engine(make: Callable[[], Engine]) -> float:
    engine = make()
    engine.start()
    speed = asyncio.run(in_process(engine))
    engine.stop(5.0)
    return speed


def memory_growth(runner: EagerExecutor, made: list[Generation]) -> float:
    held = {}
    for swap in range(1, 2001):
        runner.weights.activate(made[swap % len(made)])
        if swap in (20, 2000):
            held[swap] = resident_bytes()
    runner.weights.activate(None)
    return held[2000] / held[20]


def resident_bytes() -> int:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def step_ms(runner: EagerExecutor, context: int) -> float:
    """A decoding step of 16 sequences that have seen `context` tokens."""

    def row(job: int, tokens: list[int], position: int) -> Row:
        return Row(
            job=job,
            tokens=tokens,
            position=position,
            generation=None,
            wants_logits=position == context,
            blocks=own_blocks(job, context + 1),
        )

    for job in range(CLIENTS):
        runner.open(job, SamplingParams())
        for start in range(0, context, 250):
            chunk = [1000 + i for i in range(start, min(start + 250, context))]
            runner.forward([row(job, chunk, start)], mixed=False)
    rows = [row(job, [5], context) for job in range(CLIENTS)]
    times = []
    for _ in range(15):
        start_s = time.perf_counter()
        runner.forward(rows, mixed=False)
        times.append(time.perf_counter() - start_s)
    for job in range(CLIENTS):
        runner.close(job)
    return statistics.median(times) * 1e3


def told(found: dict[str, float]) -> dict[str, float]:
    """Prints the rows at once: the whole takes a quarter of an hour."""
    for name, value in found.items():
        print(f"| {name} | {value:.3f} |", flush=True)
    return found


def idle_and_http(
    runner: EagerExecutor, loaded: Loaded, made: list[Generation]
) -> list[float]:
    """Tokens per second with one adapter, with 1,000, and over HTTP; medians."""
    idle = [Generation(key=f"idle-{n}", deltas=made[1].deltas) for n in range(999)]
    few = partial(make_engine, runner, loaded, made[:1])
    many = partial(make_engine, runner, loaded, [made[0], *idle])
    rounds = (
        (run_engine(few), run_engine(many), over_http(few(), loaded, runner.memory))
        for _ in range(ROUNDS)
    )
    return [statistics.median(speeds) for speeds in zip(*rounds, strict=True)]


def main() -> None:
    loaded = in_short_thread(load_model)
    kv = CLIENTS * 2016  # whole blocks
    runner = in_short_thread(lambda: EagerExecutor(loaded, slots=4, kv_tokens=kv))
    made = in_short_thread(lambda: adapters(runner, 8, rank=16))
    print("| what | measured |\n|---|---|")
    weights, token = runner.memory.slot_bytes, runner.memory.kv_token_bytes
    read = [weights + CLIENTS * n * token for n in (100, 2000)]
    results = told({"bytes read at 2000 / 100": read[1] / read[0]})
    step = [in_short_thread(partial(step_ms, runner, n)) for n in (100, 2000)]
    results |= told({"step at 2000 / 100": step[1] / step[0]})
    one, many, http = idle_and_http(runner, loaded, made)
    results |= told({"in process, tokens/s": one, "HTTP / in process": http / one})
    results |= told({"step with 1000 adapters / 1": one / many})
    growth = in_short_thread(partial(memory_growth, runner, made))
    results |= told({"memory after 2000 swaps / 20": growth})
    print(json.dumps({name: round(value, 4) for name, value in results.items()}))


if __name__ == "__main__":
    main()
