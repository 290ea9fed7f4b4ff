"""Slots with memory of their own, which captured graphs read: it never moves, and what
an adapter leaves alone is golden's copy there, whatever the slot held before."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.adapters.generation import Generation
from hotswap.errors import MergeFailed
from scheduler import BASE
from tests.late_device import Content, generation, made, shown

PATHS = {"ax": ("x",), "ay": ("y",), "axy": ("x", "y"), "bx": ("x",), "by": ("y",)}
GENERATIONS = {key: generation(key, *paths) for key, paths in PATHS.items()}


def wanted(key: str) -> list[str]:
    return [key if name in PATHS.get(key, ()) else BASE for name in "xy"]


orders = st.lists(
    st.tuples(
        st.sampled_from([BASE, *PATHS]),
        st.sampled_from(["swap", "slice", "broken at x", "broken at y", "forget"]),
    ),
    max_size=40,
)


@given(orders, st.integers(1, 2), st.booleans())
def test_own_memory_never_moves_and_holds_golden_where_no_adapter_is(
    orders: list[tuple[str, str]], slots: int, has_golden: bool
) -> None:
    device, swappables, weights = made(slots, has_golden=has_golden, is_fixed=True)
    places: dict[int, list[Content | None]] = {}

    for key, how in orders:
        own: Generation | None = GENERATIONS.get(key)
        for swappable in swappables:
            broken = how == f"broken at {swappable.name}" and own is not None
            swappable.breaks_at = key if broken else ""
        with contextlib.suppress(MergeFailed):
            if how == "forget":
                weights.forget(key)
                weights.activate(None)
            elif how == "slice" and own is not None:
                weights.build_ahead(own, 0.0)
            else:
                weights.activate(own)
        device.run()

        place = weights.memory_id
        assert place is not None
        assert shown(swappables) == wanted(weights.resident)
        if place:
            now = [swappable.shown for swappable in swappables]
            before = places.setdefault(place, now)
            assert all(a is b for a, b in zip(before, now, strict=True))
        else:
            assert weights.resident == BASE


def test_a_swap_rewrites_what_the_old_or_the_new_adapter_touches_and_no_more() -> None:
    _, (x, y), weights = made(1, is_fixed=True)
    a, b = generation("a", "x"), generation("b", "x")
    weights.activate(a)  # its memory is fresh: everything is written
    first = x.built, y.built

    weights.activate(b)

    assert first == (1, 1)
    assert (x.built, y.built) == (2, 1)


def test_memory_of_its_own_is_told_by_number_and_golden_is_zero() -> None:
    _, _, weights = made(2, is_fixed=True)
    seen = []
    for key in ("ax", BASE, "ay", "ax"):
        weights.activate(GENERATIONS.get(key))
        seen.append(weights.memory_id)

    assert seen == [1, 0, 2, 1]


def test_what_does_not_fit_into_own_memory_is_for_no_graph() -> None:
    _, swappables, weights = made(1, is_fixed=True)
    swappables[0].grows_at = "grown"

    weights.activate(generation("grown", "x"))

    assert weights.memory_id is None
    assert shown(swappables) == ["grown", BASE]

    weights.activate(generation("b", "y"))

    assert weights.memory_id == 1
    assert shown(swappables) == [BASE, "b"]


@pytest.mark.parametrize("is_fixed", [False, True])
def test_without_own_memory_no_graph_may_read_a_slot(is_fixed: bool) -> None:
    _, _, weights = made(1, is_fixed=is_fixed)

    weights.activate(GENERATIONS["axy"])

    assert (weights.memory_id is not None) is is_fixed
