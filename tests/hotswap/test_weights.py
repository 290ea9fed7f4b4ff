"""Golden never changes, and a slot depends on golden and its generation alone."""

import random
from pathlib import Path

import pytest
import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import MergeFailed
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.eager.linear import Linear, replace_linears
from hotswap.model.load import load
from hotswap.model.machine.device import Host
from hotswap.model.machine.kernels import Plain
from hotswap.model.network.rows import Row, own_blocks
from hotswap.model.weights.weights import Weights
from hotswap.sampling_params import SamplingParams
from scheduler import BASE
from tests import tiny

PROMPT = list(range(40, 60))


def logits(runner: EagerExecutor) -> torch.Tensor:
    runner.open(1, SamplingParams())
    row = Row(
        job=1,
        tokens=PROMPT,
        position=0,
        generation=None,
        wants_logits=True,
        blocks=own_blocks(0, 32),
    )
    found = runner.forward([row], mixed=False)
    runner.close(1)
    return found


def read_all(folders: Path, runner: EagerExecutor) -> list[Generation]:
    return [read(folder, runner.layout) for folder in sorted(folders.iterdir())]


def slot_bytes(runner: EagerExecutor) -> dict[str, bytes]:
    """What every module computes with now."""
    found = {}
    for linear in runner.weights.swappables:
        if not isinstance(linear, Linear):
            continue
        weight = linear.weight.to_dense() if linear.weight.is_mkldnn else linear.weight
        for path, rows in linear.parts.items():
            found[path] = weight[rows].contiguous().numpy().tobytes()
    return found


def test_golden_is_bit_identical_after_a_thousand_swaps_over_eight_adapters(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    generations = read_all(adapter_folders, runner)
    before, sum_before = logits(runner), runner.weights.checksum()
    rng = random.Random(0)

    swaps = 0
    while swaps < 1000:
        swap = runner.weights.activate(rng.choice([None, *generations]))
        swaps += swap is not None
    runner.weights.activate(None)

    assert runner.weights.checksum() == sum_before
    assert torch.equal(logits(runner), before)


def test_a_slot_is_bit_identical_whatever_it_held_before(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    generations = read_all(adapter_folders, runner)
    fresh = {}
    for generation in generations:
        runner.weights.activate(generation)
        fresh[generation.key] = slot_bytes(runner)
    rng = random.Random(1)

    for _ in range(100):
        generation = rng.choice(generations)
        runner.weights.activate(generation)

        assert slot_bytes(runner) == fresh[generation.key]


def test_a_failure_in_the_middle_of_a_merge_leaves_golden_resident_and_untouched(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    good = read_all(adapter_folders, runner)[0]
    before, sum_before = logits(runner), runner.weights.checksum()
    deltas = dict(good.deltas)
    middle = sorted(deltas)[len(deltas) // 2]
    deltas[middle] = Delta(a=torch.ones(1, 7), b=torch.ones(7, 1), scale=1.0)
    broken = Generation(key="broken", deltas=deltas)
    runner.weights.activate(good)

    with pytest.raises(MergeFailed, match="broken"):
        runner.weights.activate(broken)

    assert runner.weights.resident == BASE
    assert "broken" not in runner.weights.warm
    assert runner.weights.checksum() == sum_before
    assert torch.equal(logits(runner), before)
    runner.weights.activate(good)
    assert runner.weights.resident == good.key


def test_the_checksum_notices_one_changed_bit() -> None:
    model = tiny.model("llama")
    lora = BatchedLora(torch.float32, torch.device("cpu"), Plain())
    linears = replace_linears(model, lora, Plain())
    weights = Weights(linears, slots=1, device=Host())
    before = weights.checksum()

    linears[-1].golden.view(torch.int32)[0, 0] ^= 1

    assert weights.checksum() != before


def test_an_adapter_leaves_the_modules_it_does_not_target_on_golden(
    runner: EagerExecutor, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=1, target_modules=["q_proj"])
    golden = slot_bytes(runner)

    runner.weights.activate(read(tmp_path, runner.layout))

    changed = {p for p, b in slot_bytes(runner).items() if b != golden[p]}
    assert changed == {f"model.layers.{i}.self_attn.q_proj" for i in (0, 1)}


def build_in_slices(weights: Weights, generation: Generation) -> int:
    """How many slices of no length it took."""
    for slices in range(1, 1000):
        if weights.build_ahead(generation, budget_s=0.0) is not None:
            return slices
    raise AssertionError("it never became whole")


def test_a_slot_built_in_slices_is_bit_identical_to_one_built_at_once(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    a, b = read_all(adapter_folders, runner)[:2]
    runner.weights.activate(a)
    whole = slot_bytes(runner)
    runner.weights.activate(b)
    runner.weights.forget(a.key)

    assert build_in_slices(runner.weights, a) > 5
    assert runner.weights.resident == b.key, "nobody was disturbed"
    swap = runner.weights.activate(a)

    assert swap is not None
    assert swap.warm
    assert slot_bytes(runner) == whole


def test_a_slot_given_up_half_built_leaves_nothing_behind(
    runner: EagerExecutor, tmp_path: Path
) -> None:
    everything, queries = (
        read(
            tiny.save_adapter(tmp_path / str(n), "llama", seed=n, target_modules=names),
            runner.layout,
        )
        for n, names in enumerate((tiny.TARGETS["llama"], ["q_proj"]))
    )
    runner.weights.activate(queries)
    alone = slot_bytes(runner)
    for key in (queries.key, BASE):
        runner.weights.forget(key)
    for _ in range(4):
        runner.weights.build_ahead(everything, budget_s=0.0)

    runner.weights.activate(queries)

    assert slot_bytes(runner) == alone


def test_building_ahead_never_touches_the_slot_in_use(
    model_folder: Path, adapter_folders: Path
) -> None:
    one_slot = EagerExecutor(
        load(str(model_folder), "float32", "cpu"), slots=1, kv_tokens=64
    )
    a, b = read_all(adapter_folders, one_slot)[:2]
    one_slot.weights.activate(a)
    before = slot_bytes(one_slot)

    for _ in range(50):
        assert one_slot.weights.build_ahead(b, budget_s=1.0) is None

    assert slot_bytes(one_slot) == before
    assert one_slot.weights.resident == a.key
    one_slot.weights.activate(None)
    assert one_slot.weights.build_ahead(b, budget_s=10.0) is not None
