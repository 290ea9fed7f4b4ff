"""The same promises on a CUDA device; skipped where there is none."""

from pathlib import Path

import pytest
import torch

from hotswap.adapters.checkpoint import read
from hotswap.adapters.generation import Delta, Generation
from hotswap.model.calibrate import measure
from hotswap.model.eager import executor as executor_module
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.eager.linear import Linear
from hotswap.model.eager.merge import merge
from hotswap.model.load import load
from hotswap.model.machine.device import Cuda
from hotswap.model.network.rows import Row, own_blocks
from hotswap.sampling_params import SamplingParams
from scheduler import BASE

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
PROMPT = list(range(40, 60))
TIGHT = 100_000  # bytes that hold no slot of the tiny model


@pytest.fixture(params=["golden on the device", "golden in pinned memory"])
def cuda(request: pytest.FixtureRequest, model_folder: Path) -> EagerExecutor:
    budget = None if request.param == "golden on the device" else TIGHT
    loaded = load(str(model_folder), "float32", "cuda")
    return EagerExecutor(loaded, slots=None, kv_tokens=1024, budget_bytes=budget)


def generations(folders: Path, runner: EagerExecutor) -> list[Generation]:
    return [read(folder, runner.layout) for folder in sorted(folders.iterdir())]


def logits(
    runner: EagerExecutor, generation: Generation | None, *, mixed: bool
) -> torch.Tensor:
    runner.weights.activate(None if mixed else generation)
    runner.open(1, SamplingParams())
    found = []
    for start, stop in ((0, 12), (12, 19), (19, 20)):
        row = Row(
            job=1,
            tokens=PROMPT[start:stop],
            position=start,
            generation=generation,
            wants_logits=True,
            blocks=own_blocks(1, 32),
        )
        found.append(runner.forward([row], mixed=mixed)[0])
    runner.close(1)
    return torch.stack(found).cpu()


def slot(runner: EagerExecutor) -> list[torch.Tensor]:
    swappables = runner.weights.swappables
    return [
        swappable.weight.cpu()
        for swappable in swappables
        if isinstance(swappable, Linear)
    ]


def test_golden_is_where_the_budget_says(cuda: EagerExecutor) -> None:
    stays = bool(cuda.memory.golden_stays)
    for swappable in cuda.weights.swappables:
        if isinstance(swappable, Linear):
            assert swappable.golden.is_cuda is stays
            assert swappable.golden.is_pinned() is not stays
            assert swappable.weight.is_cuda


def test_golden_is_bit_identical_after_swaps(
    cuda: EagerExecutor, adapter_folders: Path
) -> None:
    before, checksum = logits(cuda, None, mixed=False), cuda.weights.checksum()

    for generation in generations(adapter_folders, cuda) * 20:
        cuda.weights.activate(generation)

    assert torch.equal(logits(cuda, None, mixed=False), before)
    assert cuda.weights.checksum() == checksum
    assert cuda.weights.resident == BASE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("is_pinned", [False, True])
def test_a_merge_is_the_cpus_to_the_last_bit_of_its_type(
    dtype: torch.dtype, is_pinned: bool
) -> None:
    torch.manual_seed(0)
    device = Cuda(torch.device("cuda"))
    device.tile_bytes = 1 << 18  # more than one tile
    golden = torch.randn(700, 400).to(dtype)
    delta = Delta(a=torch.randn(16, 400) * 0.02, b=torch.randn(700, 16), scale=0.7)
    source = golden.pin_memory() if is_pinned else golden.cuda()
    out = torch.empty(700, 400, dtype=dtype, device="cuda")

    with device.side():
        merge(source, delta, out, device)
    device.record().wait()

    exact = golden.double() + 0.7 * (delta.b.double() @ delta.a.double())
    eps = torch.finfo(dtype).eps
    assert (out.cpu().double() - exact).abs().max() <= eps * exact.abs().max()


def test_merged_and_mixed_say_what_the_cpu_says(
    cuda: EagerExecutor, runner: EagerExecutor, adapter_folders: Path
) -> None:
    for ours, theirs in zip(
        generations(adapter_folders, cuda),
        generations(adapter_folders, runner),
        strict=True,
    ):
        wanted = logits(runner, theirs, mixed=False)
        for mixed in (False, True):
            found = logits(cuda, ours, mixed=mixed)
            torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_a_slot_built_while_steps_run_is_the_one_built_alone(
    model_folder: Path, adapter_folders: Path
) -> None:
    loaded = load(str(model_folder), "float32", "cuda")
    cuda = EagerExecutor(loaded, slots=2, kv_tokens=1024)
    a, b = generations(adapter_folders, cuda)[:2]
    cuda.weights.activate(b)
    alone = slot(cuda)
    cuda.weights.forget(b.key)
    wanted = logits(cuda, a, mixed=False)

    for _ in range(1000):
        seconds = cuda.weights.build_ahead(b, budget_s=0.0)
        assert torch.equal(logits(cuda, a, mixed=False), wanted)
        if seconds is not None:
            break
    swap = cuda.weights.activate(b)

    assert seconds is not None
    assert seconds > 0
    assert swap is not None
    assert swap.warm
    for now, then in zip(slot(cuda), alone, strict=True):
        assert torch.equal(now, then)


def test_a_flip_waits_for_the_side(
    model_folder: Path, adapter_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = Cuda(torch.device("cuda"))
    monkeypatch.setattr(executor_module, "device_of", lambda _: device)
    loaded = load(str(model_folder), "float32", "cuda")
    cuda = EagerExecutor(loaded, slots=1, kv_tokens=1024)
    a, b = generations(adapter_folders, cuda)[:2]
    cuda.weights.activate(a)
    alone = slot(cuda)
    cuda.weights.activate(b)
    much = torch.ones(4096, 4096, device="cuda")

    with device.side():
        for _ in range(30):  # a side that is far behind
            torch.mm(much, much)
    cuda.weights.activate(a)

    for now, then in zip(slot(cuda), alone, strict=True):
        assert torch.equal(now, then)


def test_costs_are_measured(cuda: EagerExecutor) -> None:
    costs = measure(cuda, max_batch=2).costs

    assert costs.swap_s(warm=False, rank=16) > 0
    assert all(seconds >= 0 for seconds in costs.table().values())


def test_reading_an_adapter_does_not_wait_for_steps(
    cuda: EagerExecutor, adapter_folders: Path
) -> None:
    read(adapter_folders / "a0", cuda.layout)  # warms up
    much = torch.ones(8192, 8192, device="cuda")
    cuda._device.finish()

    for _ in range(60):
        torch.mm(much, much)
    steps = cuda._device.mark()
    read(adapter_folders / "a0", cuda.layout)

    assert not steps.is_done()
