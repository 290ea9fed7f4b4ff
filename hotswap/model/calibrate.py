"""Calibrate: measure steps and swaps on this machine before the first request.

Runs real steps on the loaded model with made-up adapters, so that the scheduler's
first decisions rest on measured costs. What was measured is kept in the cache folder,
one file for each model, machine and version, so that the next start need not.

A slow machine serves before all is measured: the small steps, of which each kind of
cost can be told, come first, and serving tells the rest. The next start goes on.
"""

import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.cache import keep, recall
from hotswap.model.machine.fingerprint import digest
from hotswap.model.machine.progress import progress
from hotswap.model.model_executor import ModelExecutor
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from scheduler import Costs, Mode, StepShape, Swap

log = logging.getLogger(__name__)

_RANK = 16
_ADAPTERS = 4
_FEW = 16  # sequences, between one and the most that a step takes
_FIRST_PROMPT = 16  # in the first round
_CONTEXT = 256  # of each sequence, in the step that tells what context takes
_GREEDY = SamplingParams(temperature=0)
ROUNDS = 4
_ENOUGH = 2  # rounds: what was cut short later than that is not gone on with
FAR = 2.5  # times: kept costs that are as far off are measured again
LIMIT_S = 20.0  # then serving begins with what was seen

Seen = Swap | tuple[StepShape, float]  # a step and its seconds
Kind = tuple[Mode, int, int]
"""Of a trial: mode, sequences, adapters."""


@dataclass(frozen=True, slots=True)
class Measured:
    """`trials`: how many of all were run."""

    costs: Costs
    trials: int


def calibrate(runner: ModelExecutor, max_batch: int) -> Costs:
    """Costs as this machine showed them, now or at an earlier start."""
    key = _digest(runner, max_batch)
    known = _known(key)
    if known is not None and not _still_holds(runner, known.costs):
        log.info("kept costs do not hold: the machine was busier, or is now")
        known = None
    if known is not None and known.trials >= _ENOUGH * len(_kinds(runner, max_batch)):
        return known.costs
    found = measure(runner, max_batch, known=known, limit_s=LIMIT_S)
    keep("calibration", key, {"trials": found.trials, "costs": found.costs.state()})
    return found.costs


def _known(key: str) -> Measured | None:
    kept = recall("calibration", key)
    try:
        return Measured(Costs.restored(kept["costs"]), int(kept["trials"]))
    except (KeyError, TypeError, ValueError):
        return None  # nothing, or not ours


def _still_holds(runner: ModelExecutor, costs: Costs) -> bool:
    """Whether one sequence takes about as long as the costs say."""
    least = math.inf
    for look in range(ROUNDS):
        _, (shape, seconds) = islice(_steps(runner, Mode.MERGED, [], 1, prompt=1), 2)
        least, expected = min(least, seconds), costs.step_s(shape)
        if look and expected / FAR <= least <= expected * FAR:  # the first is slow
            return True
    return False


def measure(
    runner: ModelExecutor,
    max_batch: int,
    *,
    known: Measured | None = None,
    limit_s: float = math.inf,
) -> Measured:
    """Costs that have seen each kind of step and swap a few times, on top of `known`.

    Ends at the limit, if both modes were seen by then. Leaves no trace.
    """
    log.info("calibrating, for %.0f s at most", limit_s)
    begun_s = time.perf_counter()
    made = [_made_up(runner, n) for n in range(_ADAPTERS)]
    kinds = _kinds(runner, max_batch)
    trials = known.trials if known else 0
    modes = set(Mode) if known else set()
    # The first round pays for fresh memory and for code never run: better than nothing.
    rough, costs = Costs(), known.costs if known else Costs()
    total = ROUNDS * len(kinds)
    with progress("calibrating", 100, time.perf_counter) as tell:
        for trial, outcome in _outcomes(runner, made, kinds, range(trials, total)):
            trials = trial + 1
            _learn(rough, outcome)
            if known or trial >= len(kinds):
                _learn(costs, outcome)
            if not isinstance(outcome, Swap):
                modes.add(outcome[0].mode)
            spent_s = time.perf_counter() - begun_s
            tell(int(100 * max(trials / total, min(1.0, spent_s / limit_s))))
            if spent_s >= limit_s and len(modes) == len(Mode):
                break
    runner.weights.activate(None)
    for generation in made:
        runner.forget(generation.key)
    spent_s = time.perf_counter() - begun_s
    log.info("calibrated seconds=%.1f trials=%d/%d", spent_s, trials, total)
    is_rough = not known and trials < 2 * len(kinds)
    return Measured(rough if is_rough else costs, trials)


def _kinds(runner: ModelExecutor, max_batch: int) -> list[Kind]:
    """A round: small steps first."""
    most = max(1, min(max_batch, runner.kv_tokens // _CONTEXT))
    return [
        (mode, sequences, adapters)
        for sequences in sorted({1, min(_FEW, most), most})
        for mode in Mode
        # What an adapter adds shows only where their number differs.
        for adapters in sorted({1, min(sequences, _ADAPTERS)})
        if adapters == 1 or (mode is Mode.MIXED and runner.mixes)
    ]


def _outcomes(
    runner: ModelExecutor,
    made: list[Generation],
    kinds: Sequence[Kind],
    trials: Sequence[int],
) -> Iterator[tuple[int, Seen]]:
    """Runs each trial; what was seen, and in which."""
    for trial in trials:
        mode, sequences, adapters = kinds[trial % len(kinds)]
        if mode is Mode.MERGED:
            yield from ((trial, swap) for swap in _swaps(runner, made[0]))
        else:
            runner.weights.activate(None)
        # Shared by the sequences
        prompt = _FIRST_PROMPT if trial < len(kinds) else runner.prefill_tokens // 2
        each = prompt // sequences
        some = made[:adapters] if mode is Mode.MERGED or runner.mixes else []
        for step in _steps(runner, mode, some, sequences, prompt=each):
            yield trial, step


def _learn(costs: Costs, outcome: Seen) -> None:
    if isinstance(outcome, Swap):
        costs.learn_swap(warm=outcome.warm, seconds=outcome.seconds, rank=_RANK)
    else:
        costs.learn_step(*outcome)


def _digest(runner: ModelExecutor, max_batch: int) -> str:
    """Of all that the costs depend on."""
    return digest(
        runner.kind,
        (runner.dtype, runner.compute_dtype),
        sorted(runner.layout.linear.items()),
        runner.memory.golden_stays,
        max_batch,
        runner.prefill_tokens,
    )


def _swaps(runner: ModelExecutor, made: Generation) -> Iterator[Swap]:
    """One cold and one warm."""
    runner.weights.forget(made.key)
    for _ in range(2):
        runner.weights.activate(None)
        swap = runner.weights.activate(made)
        assert swap is not None
        yield swap


def _steps(
    runner: ModelExecutor,
    mode: Mode,
    made: list[Generation],
    sequences: int,
    *,
    prompt: int,
) -> Iterator[tuple[StepShape, float]]:
    """Seconds of a prefill step and two decoding steps over so many rows.

    The last is far behind the prompt, so that context is told from the rest: it reads
    KV that was never written, as what is in it takes no time.
    """
    # Negative ids: no job of a client has one.
    jobs = [-1 - n for n in range(sequences)]
    context = min(_CONTEXT, runner.context, runner.kv_tokens // sequences)
    prompt = max(1, min(prompt, context - 2))
    for job in jobs:
        runner.open(job, _GREEDY)
    try:
        for tokens, position in ((prompt, 0), (1, prompt), (1, context - 1)):
            rows = [
                Row(
                    job=job,
                    tokens=[n % 10] * tokens,
                    position=position,
                    generation=made[n % len(made)] if made else None,
                    wants_logits=True,
                    blocks=own_blocks(n, context, runner.block_tokens),
                )
                for n, job in enumerate(jobs)
            ]
            start = time.perf_counter()
            flight: Any = runner.launch(rows, mixed=mode is Mode.MIXED)
            runner.land(flight)
            seconds = time.perf_counter() - start
            prefill = tokens * sequences if tokens > 1 else 0
            adapters, before = len(made), position * sequences
            ranks = _RANK * adapters
            yield StepShape(mode, sequences, adapters, ranks, prefill, before), seconds
    finally:  # whoever looks has seen enough
        for job in jobs:
            runner.close(job)


def _made_up(runner: ModelExecutor, seed: int) -> Generation:
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
    return runner.held(Generation(key=f"calibration-{seed}", deltas=deltas))
