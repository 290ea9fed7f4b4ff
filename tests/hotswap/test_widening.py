"""Products of float32 rows with bfloat16 weights, and merging such weights, in C."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hotswap.adapters.generation import Delta
from hotswap.model.eager.merge import merge
from hotswap.model.machine import widening as module
from hotswap.model.machine.device import Host
from hotswap.model.machine.widening import Widening, widening
from tests.compilers import compiled, needs_compiler

EPS = torch.finfo(torch.float32).eps
SOURCE = Path(module.__file__).with_name("widening.c")


pytestmark = needs_compiler


def kernels_here() -> Widening:
    found = widening()
    assert found is not None, "they compute otherwise than plain ones"
    return found


@pytest.fixture(scope="module")
def kernels() -> Widening:
    return kernels_here()


@pytest.fixture
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def unpacked(kernels: Widening, packed: torch.Tensor) -> torch.Tensor:
    """[out, in] of whole panels."""
    blocks = kernels.blocks(packed)
    assert blocks is not None
    pairs = blocks.view(*blocks.shape[:2], -1, 2)
    return pairs.permute(0, 3, 2, 1).reshape(packed.shape)


def holds(kernels: Widening, rows: int, columns: int, out: int, seed: int) -> None:
    """All four products, each within what float32 sums may differ from exact ones."""
    torch.manual_seed(seed)
    x, weight = torch.randn(rows, columns), torch.randn(out, columns).bfloat16()
    bias, other = torch.randn(out).bfloat16(), torch.randn(rows, out)
    packed = kernels.pack(weight)

    exact = x.double() @ weight.double().t()
    most = x.double().abs() @ weight.double().abs().t() + 1
    limit = (columns + 8) * EPS * (most + bias.abs().max()) * (other.abs() + 1)
    for found, wanted in (
        (kernels.linear(x, packed, None), exact),
        (kernels.linear(x, packed, bias), exact + bias.double()),
        (kernels.linear_silu(x, packed, bias), F.silu(exact + bias.double())),
        (kernels.linear_add(x, packed, None, other), exact + other),
        (kernels.linear_mul(x, packed, bias, other), (exact + bias) * other),
    ):
        assert found.dtype is torch.float32
        assert bool(((found - wanted).abs() <= limit).all())


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 130),
    out=st.integers(1, 150),
    seed=st.integers(0, 99),
)
def test_every_shape_is_computed_to_the_rounding_of_float32(
    rows: int, columns: int, out: int, seed: int
) -> None:
    holds(kernels_here(), rows, columns, out, seed)


def test_many_rows_and_long_ones_are_computed_in_chunks(kernels: Widening) -> None:
    holds(kernels, 256, 1536, 48, 0)
    holds(kernels, 7, 20_000, 48, 0)


def test_a_row_has_the_same_bits_whoever_shares_its_step_on_any_number_of_threads(
    kernels: Widening, threads: None
) -> None:
    torch.manual_seed(0)
    x, weight = torch.randn(256, 200), torch.randn(300, 200).bfloat16()
    packed, other = kernels.pack(weight), torch.randn(256, 300)
    alone = [kernels.linear_mul(x[n : n + 1], packed, None, other[:1]) for n in (0, 39)]
    whole = kernels.linear_mul(x, packed, None, other[:1].expand(256, -1))

    for count in (1, 2):
        torch.set_num_threads(count)
        for rows in (*range(1, 41), 256):
            found = kernels.linear_mul(
                x[:rows], packed, None, other[:1].expand(rows, -1)
            )
            assert torch.equal(found, whole[:rows])
    assert torch.equal(whole[:1], alone[0])
    assert torch.equal(whole[39:40], alone[1])


def test_extreme_sums_go_through_silu(kernels: Widening) -> None:
    x = torch.tensor([[-1e30], [-100.0], [-88.0], [0.0], [88.0], [100.0], [1e30]])
    packed = kernels.pack(torch.ones(1, 1).bfloat16())

    found = kernels.linear_silu(x, packed, None)

    torch.testing.assert_close(found, F.silu(x), rtol=1e-5, atol=1e-30)


def test_what_is_no_float32_row_or_bfloat16_weight_is_not_read(
    kernels: Widening,
) -> None:
    packed = kernels.pack(torch.ones(32, 8).bfloat16())
    with pytest.raises(AssertionError):
        kernels.linear(torch.ones(1, 8).bfloat16(), packed, None)
    with pytest.raises(AssertionError):
        kernels.linear(torch.ones(1, 9), packed, None)
    with pytest.raises(AssertionError):
        kernels.pack(torch.ones(32, 8))
    with pytest.raises(AssertionError):
        kernels.linear_add(torch.ones(1, 8), packed, None, torch.ones(1, 31))


@settings(max_examples=40, deadline=None)
@given(
    rank=st.integers(1, 9),
    columns=st.integers(1, 40),
    panels=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_where_sums_are_exact_a_merge_is_rounded_to_the_nearest_or_even(
    rank: int, columns: int, panels: int, seed: int
) -> None:
    """Small integers: every sum is a float32, and many lie between two bfloat16."""
    kernels = kernels_here()
    random = torch.Generator().manual_seed(seed)

    def integers(*shape: int) -> torch.Tensor:
        return torch.randint(-15, 16, shape, generator=random).bfloat16()

    out = panels * kernels.block
    golden = integers(out, columns) * 16
    delta = Delta(a=integers(rank, columns), b=integers(out, rank), scale=0.5)
    packed, merged = kernels.pack(golden), kernels.pack(torch.zeros_like(golden))
    blocks, target = kernels.blocks(packed), kernels.blocks(merged)
    assert blocks is not None
    assert target is not None

    kernels.merge(blocks, delta, target)

    wanted = golden.double() + 0.5 * (delta.b.double() @ delta.a.double())
    assert torch.equal(unpacked(kernels, merged), wanted.bfloat16())
    assert torch.equal(unpacked(kernels, packed), golden), "golden is written"


def test_a_merge_is_the_plain_one_but_where_float32_cannot_tell(
    kernels: Widening,
) -> None:
    torch.manual_seed(0)
    golden = torch.randn(192, 400).bfloat16()
    delta = Delta(a=torch.randn(16, 400), b=torch.randn(192, 16) * 0.02, scale=0.7)
    plain, packed = torch.empty_like(golden), kernels.pack(golden)
    merge(golden, delta, plain, Host())
    blocks = kernels.blocks(packed)
    assert blocks is not None

    kernels.merge(blocks, delta, blocks)

    found = unpacked(kernels, packed)
    exact = golden.double() + 0.7 * (delta.b.double() @ delta.a.double())
    differs = found != plain
    assert differs.float().mean() < 1e-3
    middle = (found.double() + plain.double()) / 2
    gap = (exact - middle).abs()[differs]
    assert bool((gap <= 32 * EPS * (exact.abs()[differs] + 1)).all())


def test_torchs_threads_are_used_and_no_others(kernels: Widening) -> None:
    maps = Path("/proc/self/maps").read_text()

    loaded = {Path(line.split()[-1]).name for line in maps.splitlines()}

    pools = [
        name for name in loaded if name.startswith(("libgomp", "libiomp", "libomp"))
    ]
    assert len(pools) <= 1, "a second pool of threads beside torch's"


@pytest.mark.slow  # compiles
@pytest.mark.parametrize(("lanes", "most"), [(4, 12), (16, 12)])
def test_vectors_of_every_width_compute_the_same(
    lanes: int, most: int, tmp_path: Path
) -> None:
    kernels = Widening(compiled(SOURCE, tmp_path, LANES=lanes, MOST=most))

    assert kernels.block == 2 * lanes
    for rows in range(1, 15):
        holds(kernels, rows, 70, 75, rows)
    module._try(kernels)


def test_kernels_that_compute_otherwise_are_not_used(
    kernels: Widening, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Widening, "linear_mul", Widening.linear_add)
    widening.cache_clear()
    try:
        assert widening() is None
    finally:
        monkeypatch.undo()
        widening.cache_clear()
    assert widening() is not None
