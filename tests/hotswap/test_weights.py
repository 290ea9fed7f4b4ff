"""Golden never changes, and a slot depends on golden and its generation alone."""

import random
from pathlib import Path

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from hotswap.adapters.checkpoint import read
from hotswap.adapters.deltas import Delta, Generation
from hotswap.errors import MergeFailed
from hotswap.model.batched_lora import BatchedLora
from hotswap.model.device import Host
from hotswap.model.kernels import Plain, kernels_for
from hotswap.model.linear import Linear, replace_linears
from hotswap.model.load import load
from hotswap.model.rows import Row
from hotswap.model.runner import Runner
from hotswap.model.weights import Weights
from scheduler import BASE
from tests import tiny

PROMPT = list(range(40, 60))


def logits(runner: Runner) -> torch.Tensor:
    runner.open(1, 32)
    row = Row(job=1, tokens=PROMPT, position=0, generation=None, wants_logits=True)
    found = runner.run([row], mixed=False)
    runner.close(1)
    return found


def read_all(folders: Path, runner: Runner) -> list[Generation]:
    return [read(folder, runner.layout) for folder in sorted(folders.iterdir())]


def slot_bytes(runner: Runner) -> dict[str, bytes]:
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
    runner: Runner, adapter_folders: Path
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
    runner: Runner, adapter_folders: Path
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
    runner: Runner, adapter_folders: Path
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


@pytest.mark.parametrize("factors", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("kind", ["linear", "conv1d", "three stacked"])
def test_a_merge_accumulates_in_float32_and_rounds_once(
    kind: str, dtype: torch.dtype, factors: torch.dtype
) -> None:
    torch.manual_seed(0)
    # More than one tile of rows
    count = 3 if kind == "three stacked" else 1
    modules: dict[str, torch.nn.Module] = {}
    deltas, exact = {}, []
    for n in range(count):
        made = Conv1D(700, 400) if kind == "conv1d" else torch.nn.Linear(400, 700)
        made.weight.data.normal_()
        modules[f"m{n}"] = made.to(dtype)
        golden = made.weight.data.t() if kind == "conv1d" else made.weight.data
        b = (torch.randn(700, 16) * 0.02).to(factors)
        a = (torch.randn(16, 400) * 0.02).to(factors)
        if n == 1:  # one that the adapter leaves alone
            exact.append(golden.double())
            continue
        deltas[f"m{n}"] = Delta(a=a, b=b, scale=0.7)
        exact.append(golden.double() + 0.7 * (b.double() @ a.double()))
    lora = BatchedLora(dtype, torch.device("cpu"), Plain())
    linear = Linear(modules, Plain(), lora)
    before = linear.golden.clone()

    out = linear.build(Generation(key="g", deltas=deltas), None, Host()).weight

    wanted = torch.cat(exact).to(dtype)
    # float32 sums may differ from exact ones in the last bit before the one rounding
    wrong = (out != wanted).float().mean()
    assert wrong < (0.6 if dtype is torch.float32 else 0.001)
    assert (out - wanted).abs().max() <= torch.finfo(dtype).eps * wanted.abs().max()
    assert torch.equal(linear.golden, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_the_kernels_of_this_machine_compute_what_plain_ones_do(
    dtype: torch.dtype, rows: int
) -> None:
    torch.manual_seed(0)
    fast, plain = kernels_for(dtype, torch.device("cpu")), Plain()
    x, weight = torch.randn(rows, 100).to(dtype), torch.randn(70, 100).to(dtype)
    bias, other = torch.randn(70).to(dtype), torch.randn(rows, 70).to(dtype)
    prepared = fast.pack(weight)
    tolerance = {"atol": 0.2, "rtol": 0.02} if dtype is torch.bfloat16 else {}

    for ours, theirs in (
        (fast.linear(x, prepared, bias), plain.linear(x, weight, bias)),
        (fast.linear_silu(x, prepared, bias), plain.linear_silu(x, weight, bias)),
        (
            fast.linear_add(x, prepared, bias, other),
            plain.linear_add(x, weight, bias, other),
        ),
        (
            fast.linear_mul(x, prepared, bias, other),
            plain.linear_mul(x, weight, bias, other),
        ),
    ):
        torch.testing.assert_close(ours, theirs, **tolerance)  # type: ignore[arg-type]


def test_an_adapter_leaves_the_modules_it_does_not_target_on_golden(
    runner: Runner, tmp_path: Path
) -> None:
    tiny.save_adapter(tmp_path, "llama", seed=1, target_modules=["q_proj"])
    golden = slot_bytes(runner)

    runner.weights.activate(read(tmp_path, runner.layout))

    changed = {p for p, b in slot_bytes(runner).items() if b != golden[p]}
    assert changed == {f"model.layers.{i}.self_attn.q_proj" for i in (0, 1)}


def test_the_least_recently_used_slot_is_rebuilt_and_a_held_one_flips(
    runner: Runner, adapter_folders: Path
) -> None:
    a, b, c = read_all(adapter_folders, runner)[:3]
    weights = runner.weights

    kinds = [weights.activate(g) for g in (a, b, a, None, a, c, a, b)]

    assert [k.warm if k else None for k in kinds] == [
        False,
        False,
        True,
        True,
        True,
        False,  # c takes the slot of b
        True,
        False,
    ]
    assert weights.activate(b) is None


def test_forgetting_the_resident_makes_golden_resident(
    runner: Runner, adapter_folders: Path
) -> None:
    generation = read_all(adapter_folders, runner)[0]
    runner.weights.activate(generation)

    runner.forget(generation.key)

    assert runner.weights.resident == BASE
    assert runner.weights.warm == {BASE}


def test_an_emptied_slot_is_filled_before_one_that_never_had_memory(
    runner: Runner, adapter_folders: Path
) -> None:
    a, b = read_all(adapter_folders, runner)[:2]
    runner.weights.activate(a)
    runner.forget(a.key)

    runner.weights.activate(b)

    filled = [slot for slot in runner.weights._slots if slot.content]
    assert len(filled) == 1


def test_a_pinned_slot_is_given_up_last(runner: Runner, adapter_folders: Path) -> None:
    a, b, c = (read(adapter_folders / f"a{n}", runner.layout) for n in range(3))
    runner.weights.pinned = frozenset({a.key})
    for generation in (a, b, b, None, b, None, c):  # b is worth more than a
        runner.weights.activate(generation)

    assert runner.weights.warm == {BASE, a.key, c.key}


def build_in_slices(weights: Weights, generation: Generation) -> int:
    """How many slices of no length it took."""
    for slices in range(1, 1000):
        if weights.prepare(generation, budget_s=0.0) is not None:
            return slices
    raise AssertionError("it never became whole")


def test_a_slot_built_in_slices_is_bit_identical_to_one_built_at_once(
    runner: Runner, adapter_folders: Path
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
    runner: Runner, tmp_path: Path
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
        runner.weights.prepare(everything, budget_s=0.0)

    runner.weights.activate(queries)

    assert slot_bytes(runner) == alone


def test_building_ahead_never_touches_the_slot_in_use(
    model_folder: Path, adapter_folders: Path
) -> None:
    one_slot = Runner(load(str(model_folder), "float32", "cpu"), slots=1, kv_tokens=64)
    a, b = read_all(adapter_folders, one_slot)[:2]
    one_slot.weights.activate(a)
    before = slot_bytes(one_slot)

    for _ in range(50):
        assert one_slot.weights.prepare(b, budget_s=1.0) is None

    assert slot_bytes(one_slot) == before
    assert one_slot.weights.resident == a.key
    one_slot.weights.activate(None)
    assert one_slot.weights.prepare(b, budget_s=10.0) is not None


def test_a_slot_built_ahead_is_not_the_next_to_be_given_up(
    model_folder: Path, adapter_folders: Path
) -> None:
    two = Runner(load(str(model_folder), "float32", "cpu"), slots=2, kv_tokens=64)
    older, old, ahead, other = read_all(adapter_folders, two)[:4]
    for generation in (older, old, None):
        two.weights.activate(generation)
    for slot in two.weights._slots:  # as if built in no time, one used twice
        slot.worth = 2e-12 if slot.holds is older else 1e-12

    assert two.weights.prepare(ahead, budget_s=10.0) is not None
    two.weights.prepare(other, budget_s=0.0)

    assert two.weights.warm == {BASE, ahead.key}


def test_the_slot_that_is_used_most_outlives_those_used_once(
    model_folder: Path, adapter_folders: Path
) -> None:
    three = Runner(load(str(model_folder), "float32", "cpu"), slots=3, kv_tokens=64)
    hot, *others = read_all(adapter_folders, three)
    for _ in range(200):
        three.weights.activate(hot)
        three.weights.activate(None)

    for other in others[:4]:
        three.weights.activate(other)

    assert hot.key in three.weights.warm
