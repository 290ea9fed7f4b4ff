"""What the kernels' tests stand on: the interpreter computes as a GPU does."""

import pytest
import torch

pytest.importorskip("triton")

import triton
import triton.language as tl

from tests.hotswap.gpu.interpreter import narrow, widen

EDGES = [0.0, -0.0, 1.0, 1.00390625, 1.01171875, 3.3895e38, 1e-40]
NO_NUMBERS = [float("inf"), float("-inf"), float("nan")]


@triton.jit
def multiply(a, b, out, n: tl.constexpr):
    at = tl.arange(0, n)[:, None] * n + tl.arange(0, n)[None, :]
    tl.store(out + at, tl.dot(tl.load(a + at), tl.load(b + at)))


@triton.jit
def convert(x, out, n: tl.constexpr):
    at = tl.arange(0, n)
    tl.store(out + at, tl.load(x + at).to(tl.bfloat16))


@triton.jit
def load_open(x, out, n: tl.constexpr):
    at = tl.arange(0, n)
    tl.store(out + at, tl.load(x + at, mask=at < n - 1))


@triton.jit
def count(x, out, length, n: tl.constexpr):
    total = 0.0
    for start in range(0, length, n):
        total += tl.load(x + start)
    tl.store(out, total)


def test_it_multiplies_bfloat16(device: torch.device) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 16, 16, device=device).bfloat16()
    out = torch.empty(16, 16, device=device)

    multiply[(1,)](a, b, out, 16)

    torch.testing.assert_close(out, a.float() @ b.float())


def test_it_rounds_to_bfloat16_as_torch_does(device: torch.device) -> None:
    torch.manual_seed(0)
    x = torch.randn(1024, device=device)
    x[: len(EDGES)] = torch.tensor(EDGES, device=device)
    x[-3:] = torch.tensor(NO_NUMBERS, device=device)
    out = torch.empty(1024, dtype=torch.bfloat16, device=device)

    convert[(1,)](x, out, 1024)

    torch.testing.assert_close(out, x.bfloat16(), rtol=0, atol=0, equal_nan=True)


def test_bfloat16_travels_there_and_back() -> None:
    numbers = torch.tensor([*EDGES, *NO_NUMBERS]).bfloat16().float()

    back = torch.from_numpy(widen(narrow(numbers.numpy())))

    torch.testing.assert_close(back, numbers, rtol=0, atol=0, equal_nan=True)


def test_a_loop_may_end_at_an_argument(device: torch.device) -> None:
    out = torch.zeros(1, device=device)

    count[(1,)](torch.ones(40, device=device), out, 40, 16)

    assert out.item() == 3


@pytest.mark.skipif(torch.cuda.is_available(), reason="undefined there")
def test_a_masked_load_without_other_is_not_a_number() -> None:
    out = torch.zeros(16)

    load_open[(1,)](torch.ones(16), out, 16)

    assert torch.equal(out[:-1], torch.ones(15))
    assert out[-1].isnan()


@pytest.mark.skipif(torch.cuda.is_available(), reason="right there")
def test_arithmetic_in_bfloat16_is_refused() -> None:
    @triton.jit
    def add(x, out, n: tl.constexpr):
        at = tl.arange(0, n)
        tl.store(out + at, tl.load(x + at) + tl.load(x + at))

    x = torch.ones(16).bfloat16()
    with pytest.raises(Exception, match="arithmetic in bfloat16"):
        add[(1,)](x, x.clone(), 16)
