"""Each row of a mixed step through its own adapter's factors alone, in C."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.machine import segmented as module
from hotswap.model.machine.segmented import (
    Part,
    Places,
    Segmented,
    Segments,
    StackedFactors,
    segmented,
)
from tests.compilers import compiled, needs_compiler
from tests.lora_layer import check, generation, made

SOURCE = Path(module.__file__).with_name("segmented.c")
EPS = torch.finfo(torch.float32).eps

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def native() -> Segmented:
    found = segmented()
    assert found is not None, "it computes otherwise than torch"
    return found


# For each row its adapter, None for nobody; and the ranks of each adapter, for two
# parts of the outputs each.
OWNERS = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=24)
RANKS = st.tuples(*[st.integers(1, 19)] * 3, *[st.integers(0, 19)] * 3)
# Of rows and of factors
TYPES = [
    (torch.float32, torch.float32),
    (torch.float32, torch.bfloat16),
    (torch.bfloat16, torch.bfloat16),
]
Types = tuple[torch.dtype, torch.dtype]
THEN = ("nothing", "silu", "mul")


def placed(ranks: tuple[int, ...], cut: int, out: int) -> Places:
    """Adapters 0 to 2: `ranks` of their first parts, then of their second."""
    parts: dict[str, tuple[Part, ...]] = {}
    start = 0
    for n, (first, second) in enumerate(zip(ranks[:3], ranks[3:], strict=True)):
        middle, stop = start + first, start + first + second
        parts[str(n)] = ((start, middle, 0, cut), (middle, stop, cut, out))
        start = stop
    return Places(parts, out)


def segments(places: Places, owners: Sequence[int | None]) -> Segments:
    return Segments([places.of("" if own is None else str(own)) for own in owners])


def holds(
    native: Segmented,
    owners: Sequence[int | None],
    ranks: tuple[int, ...],
    columns: int,
    out: int,
    *,
    types: Types,
) -> None:
    """Within what sums of float32, rounded once to the rows' type, may differ from
    exact ones; others as they were."""
    torch.manual_seed(columns * 200 + out)
    places, half = placed(ranks, out // 3, out), torch.finfo(types[0]).eps / 2
    x, a = torch.randn(len(owners), columns), torch.randn(sum(ranks), columns)
    y, b = torch.randn(len(owners), out), torch.randn(sum(ranks), out)
    x, y, other = (each.to(types[0]) for each in (x, y, torch.randn_like(y)))
    a, b = a.to(types[1]), b.to(types[1])
    given = x, StackedFactors(a, b), segments(places, owners)

    found = native.add(y.clone(), *given)
    silu = native.add_silu(y.clone(), *given)
    product = native.add_mul(y.clone(), *given, other)

    exact, most = y.double(), y.double().abs()
    limit = torch.zeros(len(owners), out, dtype=torch.double)
    for row, owner in enumerate(owners):
        if owner is None:
            assert torch.equal(found[row], y[row])
            continue
        for start, stop, first, last in places.of(str(owner)):
            factors = x[row], a[start:stop].t(), b[start:stop, first:last]
            own, down, up = (each.double() for each in factors)
            exact[row, first:last] += own @ down @ up
            most[row, first:last] += own.abs() @ down.abs() @ up.abs()
            limit[row, first:last] = (columns + stop - start + 8) * EPS
    limit *= most

    def check(found: torch.Tensor, wanted: torch.Tensor, limit: torch.Tensor) -> None:
        rounded = half * (wanted.abs() + limit) * (types[0] is torch.bfloat16)
        assert bool(((found - wanted).abs() <= limit + rounded).all())

    check(found, exact, limit)
    # silu is nowhere steeper than 1.1, and a few units of the last place are its own.
    wanted = torch.nn.functional.silu(exact)
    check(silu, wanted, 1.1 * limit + 8 * EPS * most)
    check(product, exact * other, (limit + 4 * EPS * most) * other.abs())


@settings(max_examples=80, deadline=None)
@given(
    owners=OWNERS,
    ranks=RANKS,
    columns=st.integers(1, 130),
    out=st.integers(2, 300),
    types=st.sampled_from(TYPES),
)
def test_a_row_gets_what_its_own_adapter_makes_of_it(
    owners: list[int | None],
    ranks: tuple[int, ...],
    columns: int,
    out: int,
    types: Types,
) -> None:
    found = segmented()
    assert found is not None
    holds(found, owners, ranks, columns, out, types=types)


@settings(max_examples=20, deadline=None)
@given(
    owners=OWNERS,
    ranks=RANKS,
    types=st.sampled_from(TYPES),
    then=st.sampled_from(THEN),
)
def test_a_rows_bits_are_those_it_has_alone_on_any_number_of_threads(
    owners: list[int | None], ranks: tuple[int, ...], types: Types, then: str
) -> None:
    native = segmented()
    assert native is not None
    torch.manual_seed(0)
    places = placed(ranks, 30, 75)
    x, a = torch.randn(len(owners), 70), torch.randn(sum(ranks), 70)
    b, other = torch.randn(sum(ranks), 75), torch.randn(len(owners), 75)
    x, other = x.to(types[0]), other.to(types[0])
    factors = StackedFactors(a.to(types[1]), b.to(types[1]))

    def added(rows: slice) -> torch.Tensor:
        y = torch.ones(len(owners[rows]), 75, dtype=types[0])
        given = y, x[rows], factors, segments(places, owners[rows])
        if then == "silu":
            return native.add_silu(*given)
        return (
            native.add_mul(*given, other[rows]) if then == "mul" else native.add(*given)
        )

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        together = added(slice(None))
        torch.set_num_threads(2)
        assert torch.equal(added(slice(None)), together)
        for row in range(len(owners)):
            assert torch.equal(added(slice(row, row + 1))[0], together[row])
    finally:
        torch.set_num_threads(before)


def test_what_is_no_number_in_one_row_stays_in_it(native: Segmented) -> None:
    x, a, b = torch.ones(3, 40), torch.ones(4, 40), torch.ones(4, 50)
    x[1] = torch.nan
    a[2:] = torch.inf
    places = placed((2, 2, 1, 0, 0, 0), 50, 50)
    rows = segments(places, [0, 0, 1])

    y = native.add(torch.zeros(3, 50), x, StackedFactors(a, b), rows)

    assert torch.equal(y[0], torch.full((50,), 80.0))
    assert bool(y[1].isnan().all())
    assert bool(y[2].isinf().all())


def test_a_stack_computes_with_it_and_packs_nothing(native: Segmented) -> None:
    lora, stack = made(native)
    a, b = generation("a", 2, "q", "k"), generation("b", 5, "k")
    for _ in range(40):
        check(lora, stack, [b, None, a, b])
    assert not stack.is_packed

    lora.forget("a")
    check(lora, stack, [None, b, b, generation("c", 30, "q")])


@pytest.mark.slow  # compiles
@pytest.mark.parametrize("lanes", [4, 16])
def test_vectors_of_every_width_compute_the_same(lanes: int, tmp_path: Path) -> None:
    native = Segmented(compiled(SOURCE, tmp_path, LANES=lanes))

    for rows in range(1, 7):
        for types in TYPES:
            owners = [0, 0, None, 2, 1, 1][:rows]
            holds(native, owners, (3, 8, 16, 2, 0, 5), 70, 300, types=types)
    module._try(native)


def test_one_that_computes_otherwise_is_not_used(
    native: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Segmented, "add", lambda self, y, *rest: y)
    segmented.cache_clear()
    try:
        assert segmented() is None
    finally:
        segmented.cache_clear()
