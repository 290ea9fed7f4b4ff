"""Costs are measured once for a model and a machine, and kept."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from hotswap.adapters.generation import Generation
from hotswap.model import calibrate as module
from hotswap.model.calibrate import calibrate, measure
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.load import load
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from scheduler import BASE, Costs, Mode, StepShape, Swap
from tests import tiny


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hotswap" / "calibration"


def test_what_was_measured_is_used_at_the_next_start(
    runner: EagerExecutor, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = calibrate(runner, max_batch=4)
    monkeypatch.setattr(module, "measure", None)  # would fail if called
    monkeypatch.setattr(module, "FAR", 1e9)  # however busy the machine is

    second = calibrate(runner, max_batch=4)

    assert second.table() == first.table()
    assert len(list(cache.iterdir())) == 1
    assert runner.weights.resident == BASE
    assert runner.weights.warm == {BASE}


@pytest.mark.parametrize("factor", [1e-6, 1e3])
def test_kept_costs_that_are_far_off_are_measured_again(
    runner: EagerExecutor, cache: Path, factor: float
) -> None:
    calibrate(runner, max_batch=4)
    (file,) = cache.iterdir()
    wrong = Costs()
    for sequences in (1, 4) * 20:
        wrong.learn_step(StepShape(Mode.MERGED, sequences), factor)
    for warm in (True, False):
        wrong.learn_swap(warm=warm, seconds=factor)
    file.write_text(json.dumps({"trials": 99, "costs": wrong.state()}))

    found = calibrate(runner, max_batch=4)

    step = found.step_s(StepShape(Mode.MERGED, 1))
    assert max(step / factor, factor / step) > 5
    assert json.loads(file.read_text())["costs"] == found.state()


def test_costs_are_positive_and_a_cold_swap_is_dearer_than_a_warm_one(
    runner: EagerExecutor, cache: Path
) -> None:
    costs = calibrate(runner, max_batch=4)

    merged, mixed = (costs.step_s(StepShape(mode, 4, 2, 32, 0, 100)) for mode in Mode)
    assert mixed > merged / 2 > 0
    assert costs.swap_s(warm=False) > costs.swap_s(warm=True) > 0


def test_other_settings_and_broken_files_are_measured_anew(
    runner: EagerExecutor, cache: Path
) -> None:
    calibrate(runner, max_batch=4)
    (file,) = cache.iterdir()
    file.write_text('{"merged": [1]}')

    calibrate(runner, max_batch=4)
    calibrate(runner, max_batch=2)

    assert file.read_text() != '{"merged": [1]}'
    assert len(list(cache.iterdir())) == 2


class Clockwork:
    """A runner and its weights on a clock of their own: what steps take is known.

    `slowness`: times as long as on an ordinary machine.
    """

    kv_tokens, context, head = 1 << 18, 8192, "head"
    dtype = compute_dtype = torch.float32
    prefill_tokens, block_tokens, mixes = 256, 16, True
    layout = SimpleNamespace(linear={"layer": (4, 4)})
    kind, memory = "clockwork", SimpleNamespace(golden_stays=True)

    def __init__(self, seed: int, slowness: float = 1.0) -> None:
        self.now = 0.0
        self._slowness = slowness
        self.weights = self
        self._built = {BASE}
        self.launched: list[tuple[int, int]] = []  # rows and prompt tokens
        self._random = random.Random(seed)

    def perf_counter(self) -> float:
        return self.now

    def step_s(
        self, mode: Mode, n: int, adapters: int, prefill: int, ctx: int
    ) -> float:
        base = 40e-3 + 3e-3 * n + 2e-3 * prefill + 30e-6 * ctx
        mixed = (mode is Mode.MIXED) * (30e-3 + 2e-3 * n + 4e-3 * adapters)
        return self._slowness * (base + mixed)

    def launch(self, rows: Sequence[Row], *, mixed: bool) -> None:
        prefill = sum(len(row.known) for row in rows if len(row.known) > 1)
        adapters = {row.generation.key for row in rows if row.generation is not None}
        context = sum(row.position for row in rows)
        mode = Mode.MIXED if mixed else Mode.MERGED
        self.launched.append((len(rows), prefill))
        seconds = self.step_s(mode, len(rows), len(adapters), prefill, context)
        self.now += seconds * self._random.lognormvariate(0.0, 0.1)

    def activate(self, generation: Generation | None) -> Swap | None:
        key = generation.key if generation else BASE
        warm = key in self._built
        self._built.add(key)
        seconds = self._slowness * (1e-5 if warm else 0.1)
        self.now += seconds
        return Swap(warm=warm, seconds=seconds)

    def land(self, flight: None) -> None: ...
    def open(self, job: int, params: SamplingParams) -> None: ...
    def close(self, job: int) -> None: ...
    def held(self, generation: Generation) -> Generation:
        return generation

    def forget(self, key: str) -> None:
        self._built.discard(key)


@pytest.mark.parametrize("seed", range(8))
def test_a_calibration_tells_what_a_full_batch_with_long_contexts_takes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Clockwork(seed)
    monkeypatch.setattr(module, "time", machine)

    costs = measure(machine, 16).costs  # type: ignore[arg-type]

    for mode in Mode:
        for n, adapters in ((1, 1), (4, 4), (16, 2), (16, 4)):
            real = machine.step_s(mode, n, adapters, 0, 60 * n)
            told = costs.step_s(StepShape(mode, n, adapters, 16 * adapters, 0, 60 * n))
            assert told == pytest.approx(real, rel=0.25), (mode, n, adapters)


@pytest.mark.parametrize("slowness", [1.0, 20.0, 60.0])
def test_a_slow_machine_serves_after_the_limit_with_costs_of_every_kind(
    slowness: float, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Clockwork(0, slowness)
    monkeypatch.setattr(module, "time", machine)

    costs = calibrate(machine, 16)  # type: ignore[arg-type]

    a_step = machine.step_s(Mode.MIXED, 16, 4, 128, 0)
    assert machine.now < module.LIMIT_S + 1.5 * a_step
    assert costs.swap_s(warm=False, rank=16) > 1e3 * costs.swap_s(warm=True) > 0
    for mode in Mode:
        one = machine.step_s(mode, 1, 1, 0, 100)
        assert one / 3 < costs.step_s(StepShape(mode, 1, 1, 16, 0, 100)) < one * 3
        assert costs.step_s(StepShape(mode, 16, 4, 64, 0, 1600)) > one / 3


def test_what_was_cut_short_is_gone_on_with_at_the_next_start_until_it_is_whole(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts = []
    for seed in range(20):
        machine = Clockwork(seed, slowness=6.0)
        monkeypatch.setattr(module, "time", machine)
        calibrate(machine, 16)  # type: ignore[arg-type]
        starts.append(machine.now)
        if starts[-1] < module.LIMIT_S / 2:
            break

    a_step = machine.step_s(Mode.MIXED, 16, 4, 128, 0)
    look = 2 * machine.step_s(Mode.MERGED, 1, 0, 1, 1)
    assert 2 < len(starts) < 10
    assert max(starts) < module.ROUNDS * look + module.LIMIT_S + 1.5 * a_step
    assert starts[-1] < 2.5 * look  # all was known, and two looks agreed


def test_a_measurement_that_ends_early_closes_its_jobs(
    runner: EagerExecutor, cache: Path
) -> None:
    measure(runner, max_batch=4, limit_s=1e-9)

    job_of_calibration = Row(
        job=-1,
        tokens=[5],
        position=0,
        generation=None,
        wants_logits=True,
        blocks=own_blocks(0, 1),
    )
    with pytest.raises(KeyError):
        runner.launch([job_of_calibration], mixed=False)
    assert runner.weights.warm == {BASE}


def test_what_a_device_can_do_in_one_step_is_measured_and_not_guessed() -> None:
    gpu = Clockwork(seed=0)
    gpu.prefill_tokens = 2048

    measure(gpu, max_batch=256)  # type: ignore[arg-type]

    assert {rows for rows, _ in gpu.launched} == {1, 16, 256}
    assert max(prefill for _, prefill in gpu.launched) == 1024


@pytest.mark.parametrize(("context", "kv_tokens"), [(64, None), (512, 20)])
def test_a_model_of_a_short_context_or_little_kv_is_measured(
    context: int, kv_tokens: int | None, tmp_path: Path
) -> None:
    config = GPT2Config(
        vocab_size=tiny.VOCAB, n_embd=48, n_layer=1, n_head=4, n_positions=context
    )
    GPT2LMHeadModel(config).save_pretrained(tmp_path)  # fails beyond its positions
    tiny.tokenizer().save_pretrained(tmp_path)
    loaded = load(str(tmp_path), "float32", "cpu")
    runner = EagerExecutor(loaded, slots=1, kv_tokens=kv_tokens)

    costs = measure(runner, max_batch=16).costs

    assert costs.step_s(StepShape(Mode.MERGED, 1)) > 0
