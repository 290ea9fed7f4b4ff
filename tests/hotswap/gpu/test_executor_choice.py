"""The GPU's executor serves where it is right; where not, the log says why."""

import logging
from dataclasses import replace

import pytest
import torch

from hotswap.adapters.layout import hollow
from hotswap.errors import StartFailed
from hotswap.model import executor_choice
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.executor_choice import Sizes, choose_executor, misfit, proven
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.network.loaded import Loaded
from tests.hotswap.gpu.executors import REFERENCE, loaded
from tests.hotswap.gpu.fake_graphs import FakeGraphs

SIZES = Sizes(
    slots=1, kv_tokens=256, budget_bytes=100 << 20, max_batch=4, prefill_tokens=8
)


def at(model: Loaded, device: str, monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """As if it were there."""
    place = property(lambda _: torch.device(device))
    monkeypatch.setattr(type(model.model), "device", place)
    return model


def new_card(_: torch.device) -> tuple[int, int]:
    return (9, 0)


def test_a_cpu_has_the_executor_that_runs_each_operation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    executor = choose_executor(loaded(), **SIZES)

    assert isinstance(executor, EagerExecutor)
    assert not caplog.records


@pytest.mark.parametrize(
    ("architecture", "device", "capability", "why"),
    [
        ("llama", "cuda", (9, 0), ""),
        ("qwen2", "cuda", (8, 0), ""),
        ("llama", "cuda", (7, 5), "compute capability 7.5, graphs need 8.0"),
        ("gpt2", "cuda", (9, 0), "no chain of operations for GPT2LMHeadModel"),
        ("llama", "mps", (9, 0), "no graphs on mps"),
        ("llama", "cuda:1", (9, 0), "graphs are for the first device: CUDA_VISIBLE"),
    ],
)
def test_why_a_model_has_no_graphs(
    architecture: str,
    device: str,
    capability: tuple[int, int],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("triton")
    model = at(loaded(architecture), device, monkeypatch)

    found = misfit(model, lambda _: capability)

    assert found.startswith(why)
    assert bool(found) is bool(why)


def test_without_triton_there_are_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    model = at(loaded(), "cuda", monkeypatch)
    monkeypatch.setattr(executor_choice, "find_spec", lambda _: None)

    assert misfit(model, new_card) == "triton is not installed"


def test_the_gpus_executor_is_proven_through_its_graphs() -> None:
    graphs = FakeGraphs()

    executor = proven(loaded(), lambda _: (graphs.kernels(REFERENCE), graphs), SIZES)

    assert isinstance(executor, GpuExecutor)
    assert executor.kind == "llama on graphs"
    assert graphs.replayed > graphs.captured


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"silu_mul": lambda x: x.chunk(2, -1)[0]}, "its logits differ"),
        ({"rms_norm": lambda x, weight, eps: 1 / 0}, "ZeroDivisionError: division by"),
    ],
)
def test_kernels_that_are_wrong_or_raise_do_not_serve(
    wrong: dict[str, object], why: str
) -> None:
    graphs = FakeGraphs()
    graphs.refuses = True
    kernels: Kernels = replace(REFERENCE, **wrong)  # type: ignore[arg-type]

    found = proven(loaded(), lambda _: (kernels, graphs), SIZES)

    assert isinstance(found, str)
    assert found.startswith(why)


def test_one_that_is_not_right_is_told_in_a_line_and_the_other_serves(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    model = at(loaded(), "cuda", monkeypatch)
    monkeypatch.setattr(executor_choice, "misfit", lambda *_: "")
    monkeypatch.setattr(executor_choice, "proven", lambda *_: "its logits differ")
    monkeypatch.setattr(executor_choice, "EagerExecutor", lambda *_, **sizes: sizes)

    with caplog.at_level(logging.WARNING):
        executor: object = choose_executor(model, **SIZES)

    assert executor == SIZES
    assert [record.getMessage() for record in caplog.records] == [
        "model llama runs eager on the GPU: its logits differ"
    ]


def test_a_model_that_golden_has_left_is_for_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = at(loaded(), "cuda", monkeypatch)
    norm = model.model.model.norm
    norm.weight = hollow(norm.weight.shape)
    monkeypatch.setattr(executor_choice, "misfit", lambda *_: "")
    monkeypatch.setattr(executor_choice, "proven", lambda *_: "its logits differ")

    with pytest.raises(StartFailed, match=r"cannot be run \(its logits differ\)"):
        choose_executor(model, **SIZES)


def test_a_device_without_room_ends_the_start_in_one_line() -> None:
    graphs = FakeGraphs()

    def no_room(*_: object) -> torch.Tensor:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2 GiB\nmore"
        )

    kernels = replace(REFERENCE, rms_norm=no_room)
    with pytest.raises(StartFailed) as failed:
        proven(loaded(), lambda _: (kernels, graphs), SIZES)

    assert str(failed.value) == (
        "memory: the device has no room for slots, KV and a step (CUDA out of memory. "
        "Tried to allocate 2 GiB): a smaller memory.budget_gb, or fewer "
        "memory.kv_tokens, would fit"
    )
