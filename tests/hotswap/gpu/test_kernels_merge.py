"""A merge: golden plus the update, rounded once, and not a bit beside it."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

pytest.importorskip("triton")

from hotswap.model.gpu.kernels.merge import Update, merge
from tests.hotswap.gpu import reference_kernels as reference

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
dtypes = pytest.mark.parametrize("dtype", DTYPES)


def update(
    rows: slice, columns: int, rank: int, dtype: torch.dtype, device: torch.device
) -> Update:
    a = torch.randn(rank, columns) * 0.05
    b = torch.randn(rows.stop - rows.start, rank)
    return rows, a.to(device, dtype), b.to(device, dtype), 0.7


def merged(golden: Tensor, updates: list[Update], function=merge) -> Tensor:
    """`out` of a merge, which lies between two guards."""
    rows = len(golden)
    band = torch.full((rows + 2, golden.shape[1]), 7.0).to(golden.device, golden.dtype)
    before = golden.clone()
    function(golden, updates, band[1:-1])
    assert (band[[0, -1]] == 7).all()
    torch.testing.assert_close(golden, before, rtol=0, atol=0, equal_nan=True)
    return band[1:-1]


def exact(golden: Tensor, updates: list[Update]) -> Tensor:
    out = golden.double()
    for rows, a, b, scale in updates:
        out[rows] += scale * (b.double() @ a.double())
    return out


@dtypes
@pytest.mark.parametrize("factors", DTYPES)
@pytest.mark.parametrize("rank", [1, 3, 16, 24])
def test_a_merge_is_exact_but_for_one_rounding(
    device: torch.device, dtype: torch.dtype, factors: torch.dtype, rank: int
) -> None:
    torch.manual_seed(rank)
    golden = torch.randn(70, 150).to(device, dtype)
    updates = [update(slice(0, 70), 150, rank, factors, device)]

    found = merged(golden, updates)

    wanted = exact(golden, updates)
    sums = golden.double().abs() + exact(torch.zeros_like(golden), updates).abs()
    one_rounding = wanted.abs() * torch.finfo(dtype).eps / 2
    room = one_rounding + sums * (rank + 2) * 2.0**-24 + torch.finfo(dtype).tiny
    assert ((found.double() - wanted).abs() <= room * 1.01).all()


@pytest.mark.parametrize("rank", [64, 256])
def test_a_high_rank_goes_round(device: torch.device, rank: int) -> None:
    torch.manual_seed(rank)
    golden = torch.randn(65, 129).to(device)
    updates = [update(slice(0, 65), 129, rank, torch.float32, device)]

    found = merged(golden, updates)

    torch.testing.assert_close(
        found.double(), exact(golden, updates), rtol=1e-5, atol=1e-5
    )


@dtypes
@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture
    ],  # `device` never changes
)
@given(data=st.data())
def test_where_sums_are_exact_it_is_the_reference_to_the_bit(
    device: torch.device, dtype: torch.dtype, data: st.DataObject
) -> None:
    """Whole numbers whose sums float32 holds: the only rounding is the last."""
    cuts = st.lists(st.integers(0, 40), min_size=2, max_size=6, unique=True)
    bounds = sorted(data.draw(cuts, label="rows"))
    rows, columns = (
        bounds[-1] + data.draw(st.integers(0, 3)),
        data.draw(st.integers(1, 140), label="columns"),
    )
    random = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))

    def whole(*shape: int, dtype: torch.dtype) -> Tensor:
        numbers = torch.randint(-9, 10, shape, generator=random)
        return numbers.to(device, dtype)

    golden = (whole(rows, columns, dtype=torch.float32) * 17).to(dtype)
    updates = [
        (
            slice(start, stop),
            whole(rank, columns, dtype=factors),
            whole(stop - start, rank, dtype=factors),
            0.5,
        )
        for start, stop in zip(bounds[::2], bounds[1::2], strict=False)
        for rank in [data.draw(st.sampled_from([1, 3, 16, 24]), label="rank")]
        for factors in [data.draw(st.sampled_from(DTYPES), label="factors")]
    ]

    found = merged(golden, updates[::-1])

    assert torch.equal(found, merged(golden, updates, reference.merge))


@dtypes
def test_rows_in_no_update_are_goldens_bit_for_bit(
    device: torch.device, dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    golden = torch.randn(40, 33).to(device, dtype)
    golden[3, 4], golden[20, 5], golden[39, 6] = float("nan"), float("inf"), -0.0
    updates = [
        update(rows, 33, 16, dtype, device) for rows in (slice(5, 9), slice(30, 38))
    ]

    found = merged(golden, updates)

    kept = [*range(5), *range(9, 30), 38, 39]
    as_bits = torch.int32 if dtype == torch.float32 else torch.int16
    assert torch.equal(found[kept].view(as_bits), golden[kept].view(as_bits))
    assert not torch.equal(found, golden)
    assert torch.equal(merged(golden, []).view(as_bits), golden.view(as_bits))


def test_what_is_not_finite_stays_where_it_is(device: torch.device) -> None:
    torch.manual_seed(0)
    golden = torch.randn(70, 140).to(device)
    rows, a, b, scale = update(slice(0, 70), 140, 16, torch.float32, device)
    golden[1, 2], a[3, 50], b[60, 4] = float("inf"), float("nan"), float("nan")

    found = merged(golden, [(rows, a, b, scale)])

    wanted = torch.ones(70, 140, dtype=torch.bool)
    wanted[1, 2], wanted[:, 50], wanted[60] = False, False, False
    assert torch.equal(found.isfinite().cpu(), wanted)


def test_two_merges_are_the_same_bits(device: torch.device) -> None:
    torch.manual_seed(0)
    golden = torch.randn(70, 140).to(device).bfloat16()
    updates = [update(slice(0, 70), 140, 24, torch.bfloat16, device)]

    assert torch.equal(merged(golden, updates), merged(golden, updates))


def test_a_row_in_two_updates_is_refused(device: torch.device) -> None:
    golden = torch.randn(8, 8).to(device)
    updates = [
        update(rows, 8, 1, torch.float32, device) for rows in (slice(0, 5), slice(4, 8))
    ]

    with pytest.raises(ValueError, match="two updates of row 4"):
        merge(golden, updates, torch.empty_like(golden))
