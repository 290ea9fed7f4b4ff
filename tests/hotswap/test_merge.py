"""A merge is golden and the update, accumulated in float32 and rounded once."""

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.linear import Linear
from hotswap.model.machine.device import Host
from hotswap.model.machine.kernels import Plain


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
        made: torch.nn.Linear | Conv1D = torch.nn.Linear(400, 700)
        if kind == "conv1d":
            made = Conv1D(700, 400)  # type: ignore[no-untyped-call]
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
