"""Norm, activation and pending tokens: right for odd sizes, in every type."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.models.llama.modeling_llama import LlamaRMSNorm

pytest.importorskip("triton")

from hotswap.model.gpu.kernels.activation import silu_mul
from hotswap.model.gpu.kernels.gather import pending
from hotswap.model.gpu.kernels.norm import rms_norm
from tests.hotswap.gpu import reference_kernels as reference

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
dtypes = pytest.mark.parametrize("dtype", DTYPES)
shapes = pytest.mark.parametrize("shape", [(1, 576), (3, 64), (2, 4096), (5, 40)])


def randn(*shape: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    torch.manual_seed(sum(shape))
    return torch.randn(shape).to(device, dtype)


def assert_rounded(found: Tensor, exact: Tensor, ulps: float = 1.0) -> None:
    """`found` is `exact`, in float64, within ulps of its type."""
    info = torch.finfo(found.dtype)
    room = exact.abs().clamp(min=info.tiny) * info.eps * ulps
    assert found.dtype != exact.dtype
    assert ((found.double() - exact).abs() <= room).all()


@dtypes
@shapes
def test_rms_norm_is_llamas(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    x = randn(*shape, dtype=dtype, device=device) * 3
    norm = LlamaRMSNorm(shape[1], eps=1e-5).to(device, dtype)
    norm.weight = torch.nn.Parameter(
        randn(shape[1], dtype=dtype, device=device), requires_grad=False
    )

    found = rms_norm(x, norm.weight, 1e-5)

    wide = x.double()
    exact = wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    assert_rounded(found, exact * norm.weight.double(), ulps=2)  # it rounds twice
    assert_rounded(found, norm(x).detach().double(), ulps=2)
    assert_rounded(found, reference.rms_norm(x, norm.weight, 1e-5).double(), ulps=2)


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_rms_norm_rounds_where_llamas_does(
    device: torch.device, dtype: torch.dtype
) -> None:
    x = randn(4, 576, dtype=dtype, device=device)
    norm = LlamaRMSNorm(576).to(device, dtype).requires_grad_(False)
    norm.weight.copy_(randn(576, dtype=dtype, device=device))

    found = rms_norm(x, norm.weight, 1e-6)

    # One rounding instead of two makes every fourth number another.
    assert (found != norm(x)).float().mean() < 0.01


@dtypes
def test_rms_norm_of_rows_of_a_wider_matrix(
    device: torch.device, dtype: torch.dtype
) -> None:
    x, weight = randn(4, 96, dtype=dtype, device=device), torch.ones(64)
    weight = weight.to(device, dtype)

    found = rms_norm(x[:, :64], weight, 1e-6)

    assert torch.equal(found, rms_norm(x[:, :64].contiguous(), weight, 1e-6))


def test_a_row_that_is_not_finite_stays_alone(device: torch.device) -> None:
    x = randn(3, 96, dtype=torch.float32, device=device)
    x[1, 5] = float("nan")

    for found in (rms_norm(x, torch.ones(96, device=device), 1e-6), silu_mul(x)):
        assert found[[0, 2]].isfinite().all()
        assert found[1].isnan().any()


@dtypes
@pytest.mark.parametrize("shape", [(1, 2 * 1536), (3, 2 * 100), (2, 2 * 1025)])
def test_silu_mul_rounds_once(
    device: torch.device, dtype: torch.dtype, shape: tuple[int, int]
) -> None:
    gate_up = randn(*shape, dtype=dtype, device=device) * 4

    found = silu_mul(gate_up)

    gate, up = gate_up.double().chunk(2, dim=-1)
    ulps = 16 if dtype == torch.float32 else 1  # exp2(x log2 e) and a division
    assert_rounded(found, F.silu(gate) * up, ulps)
    assert_rounded(found, reference.silu_mul(gate_up).double(), ulps)


def test_silu_of_a_large_number_is_a_number(device: torch.device) -> None:
    gate_up = torch.tensor([[-1e4, -90.0, 1e4, 0.0, 1.0, 1.0, 1.0, 1.0]], device=device)

    with np.errstate(over="ignore"):  # exp(1e4), of which the inverse is zero
        found = silu_mul(gate_up)

    torch.testing.assert_close(
        found, torch.tensor([[0.0, 0.0, 1e4, 0.0]], device=device)
    )


@pytest.mark.parametrize("rows", [1, 5, 300])
def test_pending_takes_what_was_sampled(device: torch.device, rows: int) -> None:
    torch.manual_seed(rows)
    ids = torch.randint(0, 99, (rows,), dtype=torch.int32)
    source = torch.randint(-3, 7, (rows,), dtype=torch.int32)
    sampled = torch.randint(100, 130_000, (7,))
    wanted = [
        sampled[at].item() if at >= 0 else known
        for known, at in zip(ids.tolist(), source.tolist(), strict=True)
    ]

    for function in (pending, reference.pending):
        found = function(ids.to(device), source.to(device), sampled.to(device))
        assert found.dtype == torch.int32
        assert found.tolist() == wanted


def test_no_rows_are_nothing_to_do(device: torch.device) -> None:
    nothing = torch.empty(0, 64, device=device)

    assert rms_norm(nothing, torch.ones(64, device=device), 1e-5).shape == (0, 64)
    assert silu_mul(nothing).shape == (0, 32)
