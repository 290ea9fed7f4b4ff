"""Golden is in memory once as loaded, whichever pass serves the model."""

from collections.abc import Iterable

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from hotswap.adapters.generation import bytes_of
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.machine.kernels import Kernels, Plain, kernels_for
from hotswap.model.network.llama import Llama
from hotswap.model.network.loaded import Loaded
from hotswap.model.weights.stacked import stacked
from tests import tiny

KERNELS = [Plain(), kernels_for(torch.float32, torch.device("cpu"))]


def held(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of all memory that they keep alive, of what is packed none."""
    plain = (t.untyped_storage() for t in tensors if not t.is_mkldnn)
    return sum({memory.data_ptr(): memory.nbytes() for memory in plain}.values())


def loaded(architecture: str, kernels: Kernels, *, tied: bool = False) -> Loaded:
    return Loaded(
        model=tiny.model(architecture, tied=tied),
        tokenizer=tiny.tokenizer(),
        name=architecture,
        context=512,
        eos=frozenset({tiny.EOS}),
        kernels=kernels,
    )


def held_by(executor: EagerExecutor, model: nn.Module) -> int:
    golden = (t for s in executor.weights.swappables for t in s.golden_tensors)
    return held([*model.parameters(), *golden])


@pytest.mark.parametrize("kernels", KERNELS, ids=["plain", "packed"])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gpt2", "bloom"])
def test_golden_as_loaded_takes_the_memory_of_the_model_and_the_budget_knows(
    architecture: str, tied: bool, kernels: Kernels
) -> None:
    made = loaded(architecture, kernels, tied=tied)
    before = bytes_of(made.model.parameters())

    executor = EagerExecutor(made, slots=1, kv_tokens=64)

    assert held_by(executor, made.model) == before
    packed = executor.memory.slot_bytes if kernels.copies else 0
    assert executor.memory.golden_bytes == before + packed


@pytest.mark.parametrize("kernels", KERNELS, ids=["plain", "packed"])
def test_a_pass_that_is_tried_and_refused_leaves_nothing_behind(
    kernels: Kernels, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = loaded("llama", kernels)
    before = bytes_of(made.model.parameters())
    monkeypatch.setattr(Llama, "__call__", lambda *_: torch.zeros(2, tiny.VOCAB))

    executor = EagerExecutor(made, slots=1, kv_tokens=64)

    # It has proven itself: its logits are those of the model before the stacking.
    assert executor.kind == "interface"
    assert held_by(executor, made.model) == before


def test_golden_that_left_is_in_memory_once() -> None:
    kernels = KERNELS[1]
    if not kernels.copies:
        pytest.skip("this CPU's kernels compute in the memory that was loaded")
    made = loaded("qwen2", kernels)
    before = bytes_of(made.model.parameters())

    executor = EagerExecutor(made, kv_tokens=64, budget_bytes=100_000)

    assert not executor.memory.golden_stays
    # What was hollowed keeps one number each.
    hollow = sum(4 for p in made.model.parameters() if not any(p.stride()))
    assert held_by(executor, made.model) == before + hollow
    assert executor.memory.golden_bytes == before


def test_the_modules_that_were_stacked_compute_what_they_did() -> None:
    torch.manual_seed(0)
    modules: dict[str, nn.Module] = {
        "q": nn.Linear(8, 6),
        "k": nn.Linear(8, 4, bias=False),
        "v": Conv1D(2, 8),  # type: ignore[no-untyped-call]
    }
    x = torch.randn(3, 8)
    with torch.no_grad():
        wanted = {path: module(x) for path, module in modules.items()}

        made = stacked(modules)

        for path, rows in made.parts.items():
            torch.testing.assert_close(modules[path](x), wanted[path])
            assert made.bias is not None
            y = nn.functional.linear(x, made.weight[rows], made.bias[rows])
            torch.testing.assert_close(y, wanted[path])
