"""A layer's kernels: those of this machine compute what plain ones do."""

import pytest
import torch

from hotswap.model.machine.kernels import Plain, kernels_for


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_the_kernels_of_this_machine_compute_what_plain_ones_do(
    dtype: torch.dtype, rows: int
) -> None:
    torch.manual_seed(0)
    fast, plain = kernels_for(dtype, torch.device("cpu")), Plain()
    x, weight = torch.randn(rows, 100).to(dtype), torch.randn(70, 100).to(dtype)
    bias, other = torch.randn(70).to(dtype), torch.randn(rows, 70).to(dtype)
    packed = fast.pack(weight)
    tolerance = {"atol": 0.2, "rtol": 0.02} if dtype is torch.bfloat16 else {}

    for ours, theirs in (
        (fast.linear(x, packed, bias), plain.linear(x, weight, bias)),
        (fast.linear_silu(x, packed, bias), plain.linear_silu(x, weight, bias)),
        (
            fast.linear_add(x, packed, bias, other),
            plain.linear_add(x, weight, bias, other),
        ),
        (
            fast.linear_mul(x, packed, bias, other),
            plain.linear_mul(x, weight, bias, other),
        ),
    ):
        torch.testing.assert_close(ours, theirs, **tolerance)  # type: ignore[arg-type]
