"""What memory is spent on follows from the budget."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import MergeFailed
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.eager.linear import Linear
from hotswap.model.load import load
from hotswap.model.machine.budget import Demand, MemoryPlan, plan_memory
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from scheduler import BASE

SLOT, TOKEN = 1000, 2
DEMAND = Demand(
    loaded_bytes=3 * SLOT,
    packed_bytes=SLOT,
    slot_bytes=SLOT,
    kv_token_bytes=TOKEN,
    context=10,
    can_leave=True,
    host_bytes=400,
)


def test_half_is_for_slots_a_quarter_for_kv_a_quarter_of_the_host_for_adapters() -> (
    None
):
    found = plan_memory(DEMAND, 8 * SLOT)

    assert found == MemoryPlan(
        budget_bytes=8 * SLOT,
        golden_bytes=4 * SLOT,
        slot_bytes=SLOT,
        slots=4,
        kv_token_bytes=TOKEN,
        kv_tokens=1000,
        lora_pages=0,
        adapter_bytes=100,
        golden_stays=True,
    )


def test_where_the_model_computes_in_host_memory_the_budget_is_of_it() -> None:
    assert plan_memory(replace(DEMAND, host_bytes=None), 800).adapter_bytes == 200


def test_there_is_at_least_one_slot_and_one_context_and_not_too_many_slots() -> None:
    assert plan_memory(DEMAND, 1).slots == 1
    assert plan_memory(DEMAND, 1).kv_tokens == 10
    assert plan_memory(DEMAND, 1 << 40).slots == 64


@pytest.mark.parametrize(
    ("budget", "asked", "can_leave", "stays"),
    [
        (SLOT * 4 // 3 + 2, {}, True, True),  # one slot and a quarter for KV
        (SLOT * 4 // 3 - 2, {}, True, False),
        (3 * SLOT, {"slots": 2, "kv_tokens": SLOT // TOKEN}, True, True),
        (3 * SLOT, {"slots": 3, "kv_tokens": SLOT // TOKEN}, True, False),
        (1, {}, False, True),  # nothing would be gained
    ],
)
def test_golden_leaves_when_no_slot_fits_beside_it(
    budget: int, asked: dict[str, int], can_leave: bool, stays: bool
) -> None:
    found = plan_memory(replace(DEMAND, can_leave=can_leave), budget, **asked)

    assert found.golden_stays is stays
    assert found.golden_bytes == (4 * SLOT if stays else 3 * SLOT)


def run(
    runner: EagerExecutor, generation: Generation | None, *, mixed: bool
) -> torch.Tensor:
    runner.weights.activate(None if mixed else generation)
    runner.open(1, SamplingParams())
    row = Row(
        job=1,
        tokens=list(range(40, 60)),
        position=0,
        generation=generation,
        wants_logits=True,
        blocks=own_blocks(0, 32),
    )
    found = runner.forward([row], mixed=mixed)
    runner.close(1)
    return found


@pytest.fixture
def tight(model_folder: Path) -> EagerExecutor:
    """A budget that holds no slot beside golden."""
    loaded = load(str(model_folder), "float32", "cpu")
    made = EagerExecutor(loaded, kv_tokens=64, budget_bytes=100_000)
    if made.memory.golden_stays:
        pytest.skip("this CPU's kernels compute in the memory that was loaded")
    return made


def test_a_tight_model_says_the_same_as_one_with_room(
    tight: EagerExecutor, runner: EagerExecutor, adapter_folders: Path
) -> None:
    generations = [
        None,
        *(read(adapter_folders / f"a{n}", runner.layout) for n in range(3)),
    ]

    for generation in generations:
        for mixed in (False, True):
            torch.testing.assert_close(
                run(tight, generation, mixed=mixed),
                run(runner, generation, mixed=mixed),
                rtol=1e-4,
                atol=1e-4,
            )
    assert tight.batched_lora_bytes == runner.batched_lora_bytes > 0
    spared = runner.memory.golden_bytes - tight.memory.golden_bytes
    assert spared == tight.memory.slot_bytes
    assert tight.memory.slots == 1


def test_golden_that_left_is_bit_identical_after_swaps_and_a_failed_merge(
    tight: EagerExecutor, adapter_folders: Path
) -> None:
    layout = tight.layout
    generations = [read(folder, layout) for folder in adapter_folders.iterdir()]
    deltas = dict(generations[0].deltas)
    deltas[sorted(deltas)[-1]] = Delta(a=torch.ones(1, 7), b=torch.ones(7, 1), scale=1)
    before, sum_before = run(tight, None, mixed=False), tight.weights.checksum()

    for generation in generations * 3:
        tight.weights.activate(generation)
    with pytest.raises(MergeFailed, match="broken"):
        tight.weights.activate(Generation(key="broken", deltas=deltas))

    assert tight.weights.resident == BASE
    assert tight.weights.checksum() == sum_before
    assert torch.equal(run(tight, None, mixed=True), before)


def no_memory(*_: object) -> None:
    raise RuntimeError("no memory")


def test_golden_that_could_not_come_back_is_never_taken_for_resident(
    tight: EagerExecutor, adapter_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = (read(adapter_folders / f"a{n}", tight.layout) for n in range(2))
    wanted = run(tight, None, mixed=False)
    tight.weights.activate(a)

    with monkeypatch.context() as patched:
        patched.setattr(Linear, "build", no_memory)
        for generation in (b, None):
            with pytest.raises(MergeFailed, match="no memory"):
                tight.weights.activate(generation)
            assert tight.weights.resident == ""
        tight.forget(a.key)

    assert torch.equal(run(tight, None, mixed=False), wanted)
    assert torch.equal(run(tight, None, mixed=True), wanted)


def test_forgetting_the_resident_builds_nothing(
    tight: EagerExecutor, adapter_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a = read(adapter_folders / "a0", tight.layout)
    wanted = run(tight, None, mixed=False)
    tight.weights.activate(a)

    with monkeypatch.context() as patched:
        patched.setattr(Linear, "build", None)  # would fail if called
        tight.forget(a.key)

    assert torch.equal(run(tight, None, mixed=False), wanted)


def test_only_a_single_slot_without_golden_cannot_be_built_ahead(
    tight: EagerExecutor, runner: EagerExecutor
) -> None:
    assert runner.weights.builds_ahead
    assert not tight.weights.builds_ahead


def test_nothing_is_kept_of_a_generation_that_is_forgotten(
    runner: EagerExecutor, adapter_folders: Path
) -> None:
    gone, other = (read(adapter_folders / f"a{n}", runner.layout) for n in range(2))
    for mixed in (False, True):
        run(runner, gone, mixed=mixed)

    runner.forget(gone.key)

    assert runner.weights.warm == {BASE}
    namesake = replace(other, key=gone.key)  # whatever is kept of a key would show
    for mixed in (False, True):
        found = run(runner, namesake, mixed=mixed)
        assert torch.equal(found, run(runner, other, mixed=mixed))
