"""The simulator's cost tables: the computed ones are what is wanted of a GPU."""

import json
from pathlib import Path

import pytest

from benchmarks.machines import FILES, machine, source, taught
from benchmarks.roofline import COMPUTED
from scheduler import Costs, Mode, StepShape

# By model: milliseconds of a golden step at a context of 512 tokens, by sequences.
WANTED_MS = {
    "h100-1b": {1: 1.3, 16: 1.4, 64: 1.8, 256: 3.2},
    "h100-8b": {1: 5.9, 16: 6.3, 64: 7.5, 256: 13.0},
}
# (sequences, adapters of rank 16): mixed / golden, from and to
WANTED_MIXED = {(16, 4): (1.25, 1.35), (64, 16): (1.35, 1.5)}
WANTED_COLD_MS = {"h100-1b": 2.0, "h100-8b": 13.0}
WANTED_PROMPTS = {"h100-1b": 150_000, "h100-8b": 25_000}  # tokens/s, chunks of 2,048
WANTED_TOKENS = {"h100-1b": 70_000, "h100-8b": 18_000}  # tokens/s, 256 sequences


def shape(mode: Mode, n: int, adapters: int = 0) -> StepShape:
    return StepShape(mode, n, adapters, 16 * adapters, 0, 512 * n)


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_golden_steps_are_the_wanted_ones(name: str) -> None:
    for n, wanted in WANTED_MS[name].items():
        found = 1e3 * COMPUTED[name].step_s(shape(Mode.MERGED, n))

        assert found == pytest.approx(wanted, rel=0.05), f"{n} sequences"

    step_s = COMPUTED[name].step_s(shape(Mode.MERGED, 256))
    assert 256 / step_s >= WANTED_TOKENS[name]


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_mixed_steps_are_the_wanted_share_of_golden_ones(name: str) -> None:
    table = COMPUTED[name]
    for (n, adapters), (least, most) in WANTED_MIXED.items():
        mixed = table.step_s(shape(Mode.MIXED, n, adapters))
        golden = table.step_s(shape(Mode.MERGED, n))

        assert 0.995 * least <= mixed / golden <= most, f"{n} sequences"


@pytest.mark.parametrize("name", COMPUTED)
def test_computed_swaps_and_prompts_are_the_wanted_ones(name: str) -> None:
    table = COMPUTED[name]
    prompt = StepShape(Mode.MERGED, 1, 0, 0, 2048)

    cold = 1e3 * table.swap_s(warm=False, rank=16)
    assert cold == pytest.approx(WANTED_COLD_MS[name], rel=0.05)
    assert cold <= WANTED_COLD_MS[name] * 1.01
    assert table.swap_s(warm=True) == 50e-6
    speed = 2048 / table.step_s(prompt)
    assert speed == pytest.approx(WANTED_PROMPTS[name], rel=0.05)


def test_a_step_without_adapters_costs_the_same_in_both_modes() -> None:
    for table in COMPUTED.values():
        golden, mixed = (table.step_s(shape(mode, 16)) for mode in Mode)

        assert golden == mixed


def test_a_measured_table_replaces_the_computed_one(tmp_path: Path) -> None:
    measured = Costs()
    for n in (1, 8, 64):
        measured.learn_step(shape(Mode.MERGED, n), 0.001 * n)
    kept = json.dumps({"how": "on a card", "state": measured.state()})

    before = machine("h100-8b", tmp_path), source("h100-8b", tmp_path)
    (tmp_path / FILES["h100-8b"]).write_text(kept)
    after = machine("h100-8b", tmp_path), source("h100-8b", tmp_path)

    assert before == (COMPUTED["h100-8b"], "h100-8b: computed, not measured")
    assert after[1] == "h100-8b: measured, on a card"
    one = shape(Mode.MERGED, 8)
    assert after[0].step_s(one) == pytest.approx(measured.step_s(one))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("batch", "prompt"), [(16, 256), (256, 2048)])
def test_what_a_calibration_learns_of_a_table_is_close_to_it(
    name: str, batch: int, prompt: int
) -> None:
    table = machine(name)
    costs = taught(table, max_batch=batch, prefill_tokens=prompt)

    for mode in Mode:
        one = StepShape(mode, 3 * batch // 4, 3, 48, 0, 60 * batch)
        assert costs.step_s(one) == pytest.approx(table.step_s(one), rel=0.15)
    cold = table.swap_s(warm=False, rank=16)
    assert costs.swap_s(warm=False, rank=16) == pytest.approx(cold, rel=0.01)
