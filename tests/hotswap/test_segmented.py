"""Each row of a mixed step through its own adapter's factors alone, in C."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.machine import segmented as module
from hotswap.model.machine.segmented import Segmented, Segments, segmented
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


# For each row its adapter, None for nobody; and the rank of each adapter.
OWNERS = st.lists(st.sampled_from([None, 0, 1, 2]), min_size=1, max_size=12)
RANKS = st.tuples(*[st.integers(1, 19)] * 3)


def places(ranks: tuple[int, ...]) -> list[slice]:
    stops = torch.tensor(ranks).cumsum(0).tolist()
    return [slice(stop - rank, stop) for stop, rank in zip(stops, ranks, strict=True)]


def holds(
    native: Segmented,
    owners: list[int | None],
    ranks: tuple[int, ...],
    columns: int,
    out: int,
) -> None:
    """Within what sums of float32 may differ from exact ones; others as they were."""
    torch.manual_seed(columns * 200 + out)
    where = places(ranks)
    x, a = torch.randn(len(owners), columns), torch.randn(sum(ranks), columns)
    y, b = torch.randn(len(owners), out), torch.randn(sum(ranks), out)
    own = [None if owner is None else where[owner] for owner in owners]

    found = native.add(y.clone(), x, a, b, Segments(own))

    for row, rank in enumerate(own):
        if rank is None:
            assert torch.equal(found[row], y[row])
            continue
        exact, most = (
            f(y[row].double())
            + f(x[row].double()) @ f(a[rank].double()).t() @ f(b[rank].double())
            for f in (lambda each: each, torch.abs)
        )
        limit = (columns + rank.stop - rank.start + 8) * EPS * most
        assert bool(((found[row] - exact).abs() <= limit).all())


@settings(max_examples=80, deadline=None)
@given(owners=OWNERS, ranks=RANKS, columns=st.integers(1, 130), out=st.integers(1, 300))
def test_a_row_gets_what_its_own_adapter_makes_of_it(
    owners: list[int | None], ranks: tuple[int, ...], columns: int, out: int
) -> None:
    found = segmented()
    assert found is not None
    holds(found, owners, ranks, columns, out)


@settings(max_examples=20, deadline=None)
@given(owners=OWNERS, ranks=RANKS)
def test_a_rows_bits_are_those_it_has_alone_on_any_number_of_threads(
    owners: list[int | None], ranks: tuple[int, ...]
) -> None:
    native = segmented()
    assert native is not None
    torch.manual_seed(0)
    where = places(ranks)
    x, a = torch.randn(len(owners), 70), torch.randn(sum(ranks), 70)
    b = torch.randn(sum(ranks), 75)
    own = [None if owner is None else where[owner] for owner in owners]

    def added(rows: slice) -> torch.Tensor:
        given = x[rows]
        return native.add(torch.zeros(len(given), 75), given, a, b, Segments(own[rows]))

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
    own: list[slice | None] = [slice(0, 2), slice(0, 2), slice(2, 4)]

    y = native.add(torch.zeros(3, 50), x, a, b, Segments(own))

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
        holds(native, [0, 0, None, 2, 1, 1][:rows], (3, 8, 16), 70, 300)
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
