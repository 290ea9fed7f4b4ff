"""Cores: processes that are held to one each, what a step costs there, what they use.

For benchmarks of several servers on one machine, which then is several small ones that
share the memory's bandwidth, the last cache, and the cores with all else.
"""

import multiprocessing
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from benchmarks.demo_model import adapters, load_model
from benchmarks.setups import BATCH, KV_TOKENS, RANK, SLOTS
from hotswap.model.calibrate import measure
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from scheduler import Costs, StepShape

_BUDGET_BYTES = 4 << 30  # beside replicas that have theirs
_TAKEN = 16  # adapters, to tell what one takes
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Mean:
    """What it costs on the average of some machines. `take_s`: an adapter that mixed
    steps have not had yet, beside the step."""

    tables: Sequence[Costs]
    take_s: float

    def step_s(self, shape: StepShape) -> float:
        return fmean(table.step_s(shape) for table in self.tables)

    def swap_s(self, *, warm: bool, rank: int = 0) -> float:
        return fmean(table.swap_s(warm=warm, rank=rank) for table in self.tables)


def calibrated(replicas: int) -> Mean:
    """Costs of so many at once, each in a process of its own on a core of its own."""
    spawn = multiprocessing.get_context("spawn")
    together, found = spawn.Barrier(replicas), spawn.SimpleQueue()
    made = [
        spawn.Process(target=_calibrate, args=(core, together, found))
        for core in range(replicas)
    ]
    for process in made:
        process.start()
    told: list[tuple[dict[str, list[float]], float]] = [found.get() for _ in made]
    for process in made:
        process.join()
    costs = [Costs.restored(state) for state, _ in told]
    return Mean(costs, fmean(take_s for _, take_s in told))


def _calibrate(core: int, together: Barrier, found: Any) -> None:
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    runner = EagerExecutor(
        load_model(), slots=SLOTS, kv_tokens=KV_TOKENS, budget_bytes=_BUDGET_BYTES
    )
    together.wait()
    costs, take_s = measure(runner, BATCH).costs, taking_s(runner)
    together.wait()  # nobody is alone before the other is done
    found.put((costs.state(), take_s))


def taking_s(runner: EagerExecutor) -> float:
    """Seconds that the first mixed step of an adapter takes longer than the next."""
    found = []
    runner.weights.activate(None)
    for job, generation in enumerate(adapters(runner, _TAKEN, RANK)):
        runner.open(job, SamplingParams(temperature=0.0))
        took = []
        for position in range(2):
            row = Row(
                job=job,
                tokens=[1000],
                position=position,
                generation=generation,
                wants_logits=True,
                blocks=own_blocks(job, 2),
            )
            start = time.perf_counter()
            runner.forward([row], mixed=True)
            took.append(time.perf_counter() - start)
        runner.close(job)
        found.append(took[0] - took[1])
    return median(found)


def hold_to_cores(title: bytes) -> list[int]:
    """The processes that are called so, each on a core of its own from now on."""
    pids = sorted(
        int(file.parent.name)
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if file.read_bytes().startswith(title)
    )
    for core, pid in enumerate(pids):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with suppress(ProcessLookupError):  # it has just ended
                os.sched_setaffinity(int(thread), {core})
    return pids


def used_s(pid: int) -> float:
    said = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return _TICK_S * (int(said[11]) + int(said[12]))


def machine_s() -> float:
    """Of the CPU, that all processes have used."""
    said = [int(each) for each in Path("/proc/stat").read_text().split()[1:8]]
    return _TICK_S * (sum(said) - said[3] - said[4])  # idle, and idle for a disk
