"""Cores: processes that are held to one each, what a step costs there, what they use.

For benchmarks of several servers on one machine, which then is several small ones that
share the memory's bandwidth, the last cache, and the cores with all else.
"""

import multiprocessing
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from benchmarks.demo_model import load_model
from benchmarks.setups import BATCH, KV_TOKENS, SLOTS
from hotswap.model.calibrate import measure
from hotswap.model.eager.executor import EagerExecutor
from scheduler import Costs, StepShape

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Mean:
    """What it costs on the average of some machines."""

    tables: Sequence[Costs]

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
    states: list[dict[str, list[float]]] = [found.get() for _ in made]
    for process in made:
        process.join()
    return Mean([Costs.restored(state) for state in states])


def _calibrate(core: int, together: Barrier, found: Any) -> None:
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    runner = EagerExecutor(load_model(), slots=SLOTS, kv_tokens=KV_TOKENS)
    together.wait()
    costs = measure(runner, BATCH).costs
    together.wait()  # nobody is alone before the other is done
    found.put(costs.state())


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
