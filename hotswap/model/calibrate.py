"""Calibrate: measure steps and swaps on this machine before the first request.

Runs real steps on the loaded model with made-up adapters, so that the scheduler's
first decisions rest on measured costs. What was measured is kept in the cache folder,
one file for each model, machine and version, so that the next start need not.
"""

import hashlib
import json
import logging
import platform
import time
from itertools import product
from pathlib import Path

import torch

from hotswap import __version__
from hotswap.adapters.deltas import Delta, Generation
from hotswap.model.load import cache_dir
from hotswap.model.rows import Row
from hotswap.model.runner import Runner
from scheduler import Costs, Mode, Shape

log = logging.getLogger(__name__)

_RANK = 16
_ADAPTERS = 4
_PROMPT = 128  # tokens, shared by the sequences
_CONTEXT = 256  # of each sequence, in the step that tells what context takes
_REPEATS = 4
_FAR = 2.5  # times: kept costs that are as far off are measured again


def calibrate(runner: Runner, max_batch: int) -> Costs:
    """Costs as this machine showed them, now or at an earlier start."""
    kept = cache_dir() / "calibration" / f"{_digest(runner, max_batch)}.json"
    try:
        costs = Costs.restored(json.loads(kept.read_text()))
        if _still_holds(runner, costs):
            return costs
        log.info("kept costs do not hold: the machine was busier, or is now")
    except (OSError, ValueError, KeyError, TypeError):
        pass  # not there, or not ours: measure again
    costs = measure(runner, max_batch)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(costs.state()))
    except OSError as error:
        log.warning("calibration is not kept: %s", error)
    return costs


def _still_holds(runner: Runner, costs: Costs) -> bool:
    """Whether one sequence takes about as long as the costs say."""
    measured = []
    for _ in range(_REPEATS):
        _, (shape, seconds), _ = _steps(runner, Mode.MERGED, [], 1, prompt=1)
        measured.append(seconds)
    expected = costs.step_s(shape)
    return expected / _FAR <= min(measured) <= expected * _FAR


def measure(runner: Runner, max_batch: int) -> Costs:
    """Costs that have seen each kind of step and swap a few times. Leaves no trace."""
    start = time.perf_counter()
    costs = Costs()
    made = [_made_up(runner, n) for n in range(_ADAPTERS)]
    most = max(1, min(max_batch, 16, runner.kv_tokens // _CONTEXT))
    for repeat in range(_REPEATS):
        # The first round pays for fresh memory and for code that was never run.
        seen = costs if repeat else Costs()
        for mode, sequences in product(Mode, sorted({1, most})):
            if mode is Mode.MERGED:
                _swap(runner, seen, made)
                kinds = [made[:1]]
            else:
                runner.weights.activate(None)
                # What an adapter adds shows only where their number differs.
                kinds = [made[:n] for n in sorted({1, min(sequences, _ADAPTERS)})]
            for adapters in kinds:
                prompt = _PROMPT // sequences
                for outcome in _steps(runner, mode, adapters, sequences, prompt=prompt):
                    seen.learn_step(*outcome)
    runner.weights.activate(None)
    for generation in made:
        runner.forget(generation.key)
    log.info("calibrated seconds=%.2f", time.perf_counter() - start)
    return costs


def _digest(runner: Runner, max_batch: int) -> str:
    """Of all that the costs depend on."""
    machine = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        machine += next(
            (line for line in info.read_text().splitlines() if "model name" in line), ""
        )
    if torch.cuda.is_available():
        machine += torch.cuda.get_device_name()
    parts = (
        machine,
        torch.get_num_threads(),
        torch.__version__,
        __version__,
        runner.kind,
        runner.dtype,
        sorted(runner.layout.linear.items()),
        runner.memory["golden_stays"],
        max_batch,
    )
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _swap(runner: Runner, costs: Costs, made: list[Generation]) -> None:
    """One cold and one warm swap."""
    runner.weights.forget(made[0].key)
    for _ in range(2):
        runner.weights.activate(None)
        swap = runner.weights.activate(made[0])
        assert swap is not None
        costs.learn_swap(warm=swap.warm, seconds=swap.seconds, rank=_RANK)


def _steps(
    runner: Runner,
    mode: Mode,
    made: list[Generation],
    sequences: int,
    *,
    prompt: int,
) -> list[tuple[Shape, float]]:
    """Seconds of a prefill step and two decoding steps over so many rows.

    The last is far behind the prompt, so that context is told from the rest: it reads
    KV that was never written, as what is in it takes no time.
    """
    # Negative ids: no job of a client has one.
    jobs = [-1 - n for n in range(sequences)]
    context = min(_CONTEXT, runner.context, runner.kv_tokens // sequences)
    prompt = max(1, min(prompt, context - 2))
    outcomes = []
    for job in jobs:
        runner.open(job, context)
    for tokens, position in ((prompt, 0), (1, prompt), (1, context - 1)):
        rows = [
            Row(
                job=job,
                tokens=[n % 10] * tokens,
                position=position,
                generation=made[n % len(made)] if made else None,
                wants_logits=True,
            )
            for n, job in enumerate(jobs)
        ]
        start = time.perf_counter()
        runner.run(rows, mixed=mode is Mode.MIXED)
        seconds = time.perf_counter() - start
        prefill = tokens * sequences if tokens > 1 else 0
        adapters, before = len(made), position * sequences
        shape = Shape(mode, sequences, adapters, _RANK * adapters, prefill, before)
        outcomes.append((shape, seconds))
    for job in jobs:
        runner.close(job)
    return outcomes


def _made_up(runner: Runner, seed: int) -> Generation:
    """A small random update of every linear module but the head, as most have it."""
    random = torch.Generator().manual_seed(seed)
    deltas = {
        path: Delta(
            a=torch.randn(_RANK, columns, generator=random).to(runner.dtype),
            b=torch.randn(rows, _RANK, generator=random).to(runner.dtype),
            scale=1e-4,
        )
        for path, (rows, columns) in runner.layout.linear.items()
        if path != runner.head
    }
    return Generation(key=f"calibration-{seed}", deltas=deltas)
