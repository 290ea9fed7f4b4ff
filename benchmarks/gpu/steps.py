"""Steps and swaps of a model: golden, merged, mixed; prefill; memory; the host's part.

A decoding step is launched while the one before is in the air, where the executor can,
as the engine does; its time is the run's divided by its steps. The context was never
written: what is in it takes no time. Hides: the scheduler, detokenising, HTTP.
"""

import re
import time
from array import array
from collections import Counter
from collections.abc import Sequence
from random import Random

import torch

from benchmarks.gpu.model import adapters, load_random, make_executor, own
from benchmarks.gpu.setting import Figures, Setting
from hotswap.adapters.generation import Generation
from hotswap.model.executor import Executor
from hotswap.model.executor_choice import ModelExecutor
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.network.rows import BLOCK_TOKENS, Row, own_blocks
from hotswap.sampling_params import SamplingParams

GREEDY = SamplingParams(temperature=0)
BATCHES = (1, 16, 64, 256)
_CALL = re.compile(r"cu(da)?[A-Z]\w*")  # of the driver; kernels are cutlass, cunn
MIXES = {1: (1,), 16: (4, 16), 64: (4, 16), 256: (16,)}


class Steps:
    """Decoding and prefill steps of one executor, at a context. The blocks of a job lie
    scattered over the KV, as after hours of serving."""

    def __init__(self, executor: ModelExecutor, setting: Setting) -> None:
        self.executor: Executor = executor
        self.setting = setting
        blocks = range(executor.kv_tokens // BLOCK_TOKENS)
        self._scattered = Random(0).sample(blocks, len(blocks))
        self.context = 32 if setting.tiny else 512
        self.rounds = 2 if setting.tiny else 30

    def decode(
        self, batch: int, generations: Sequence[Generation], *, mixed: bool
    ) -> dict[str, float]:
        """Milliseconds of a step, and of its launch on the host."""
        rows = [
            Row(
                job=job,
                tokens=[5],
                position=self.context - 1,
                generation=own(generations, job),
                wants_logits=True,
                blocks=self._blocks(job, self.context),
            )
            for job in range(batch)
        ]
        for row in rows:
            self.executor.open(row.job, GREEDY)
        for _ in range(3):
            self.executor.land(self.executor.launch(rows, mixed=mixed))
        self.setting.finish()
        hosts_s, flight = 0.0, None
        start = time.perf_counter()
        for _ in range(self.rounds):
            begun = time.perf_counter()
            following = self.executor.launch(rows, mixed=mixed)
            hosts_s += time.perf_counter() - begun
            if flight is not None:
                self.executor.land(flight)
            flight = following
        self.executor.land(flight)
        seconds = time.perf_counter() - start
        for row in rows:
            self.executor.close(row.job)
        per_step = 1e3 / self.rounds
        return {"ms": seconds * per_step, "launch, ms": hosts_s * per_step}

    def prefill(self, tokens: int, before: int, generation: Generation | None) -> float:
        """Milliseconds of a chunk of one prompt that stands behind `before` tokens."""
        row = Row(
            job=0,
            tokens=[5] * tokens,
            position=before,
            generation=generation,
            wants_logits=True,
            blocks=self._blocks(0, before + tokens),
        )
        self.executor.open(0, GREEDY)

        def step() -> None:
            mixed = generation is not None
            self.executor.land(self.executor.launch([row], mixed=mixed))

        step()
        took_ms = self.setting.wall_ms(step)
        self.executor.close(0)
        return took_ms

    def _blocks(self, job: int, tokens: int) -> "array[int]":
        """Of the job by that number, where each has so many tokens."""
        own = own_blocks(job, tokens)
        return array("i", [self._scattered[block] for block in own])


def run(setting: Setting, shape: str = "1b") -> Figures:
    loaded = load_random(shape, setting)
    begun = time.perf_counter()
    most = 4 if setting.tiny else 256
    executor = make_executor(
        loaded,
        slots=1,
        max_batch=most,
        prefill_tokens=64 if setting.tiny else 2048,
        kv_tokens=256 if setting.tiny else 140_000,
    )
    yield "executor", executor.kind
    if isinstance(executor, GpuExecutor):
        yield "graphs, and steps that run eager for want of one", executor.graphs
    yield "start and graphs, s", time.perf_counter() - begun
    made = adapters(executor, 2 if setting.tiny else 16)
    steps = Steps(executor, setting)
    batches = [1, 4] if setting.tiny else BATCHES
    yield from _decoding(steps, made, batches)
    yield from _swaps(executor, made, setting)
    yield from _prefill(steps, made, setting)
    yield from _launches(steps, made, setting)
    if setting.is_cuda:
        yield "memory, GB", torch.cuda.max_memory_allocated() / 1e9


def _decoding(steps: Steps, made: list[Generation], batches: Sequence[int]) -> Figures:
    weights = steps.executor.weights
    for batch in batches:
        weights.activate(None)
        golden = steps.decode(batch, [], mixed=False)
        yield f"golden, b {batch}, ms", golden["ms"]
        yield f"golden, b {batch}, launch, ms", golden["launch, ms"]
        yield f"golden, b {batch}, tokens/s", batch * 1e3 / golden["ms"]
        weights.activate(made[0])
        merged = steps.decode(batch, made[:1], mixed=False)["ms"]
        yield f"merged / golden, b {batch}", merged / golden["ms"]
        weights.activate(None)
        for count in MIXES.get(batch, (2,)):
            mixed = steps.decode(batch, made[:count], mixed=True)
            yield f"mixed {count}, b {batch}, ms", mixed["ms"]
            yield f"mixed {count} / golden, b {batch}", mixed["ms"] / golden["ms"]


def _swaps(
    executor: ModelExecutor, made: list[Generation], setting: Setting
) -> Figures:
    weights = executor.weights

    def cold() -> None:
        weights.forget(made[0].key)
        weights.activate(made[0])

    cold()
    weights.activate(None)
    yield "cold swap, ms", setting.wall_ms(cold)
    flips = 10
    begun = time.perf_counter()
    for n in range(flips):
        weights.activate(made[0] if n % 2 else None)
    yield "warm swap, ms", (time.perf_counter() - begun) * 1e3 / flips
    weights.activate(None)


def _prefill(steps: Steps, made: list[Generation], setting: Setting) -> Figures:
    for tokens in (16, 48) if setting.tiny else (512, 2048):
        for before in (0, 32 if setting.tiny else 2048):
            took_ms = steps.prefill(tokens, before, None)
            label = f"prefill {tokens} behind {before}"
            yield f"{label}, tokens/s", tokens * 1e3 / took_ms
        mixed_ms = steps.prefill(tokens, 0, made[0])
        yield f"prefill {tokens} mixed, tokens/s", tokens * 1e3 / mixed_ms


def _launches(steps: Steps, made: list[Generation], setting: Setting) -> Figures:
    """What a decoding step asks of the driver, by the profiler."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if setting.is_cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    for name, generations in (("golden", []), ("mixed", made[:2])):
        mixed = bool(generations)
        steps.decode(2, generations, mixed=mixed)
        with torch.profiler.profile(activities=activities) as profile:
            steps.decode(2, generations, mixed=mixed)
        count = steps.rounds + 3
        events = profile.key_averages()
        calls = Counter(
            {event.key: event.count for event in events if _CALL.fullmatch(event.key)}
        )
        yield (
            f"driver calls a step, {name}",
            {call: round(n / count, 2) for call, n in calls.most_common(8)},
        )
        on_device = [e.count for e in events if e.device_type.name == "CUDA"]
        yield f"kernels and copies a step, {name}", sum(on_device) / count
