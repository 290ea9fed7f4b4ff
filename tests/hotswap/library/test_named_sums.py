"""A name may stand for a sum of adapters, also after a restart."""

import pytest

from hotswap.adapters.origin import of_sum
from hotswap.errors import BadRequest, BadSum, UnknownAdapter
from tests.hotswap.library.desk import Desk, make


@pytest.fixture
def two(desk: Desk) -> Desk:
    """Knows `a` and `b`."""
    desk.open()
    for name in "ab":
        make(desk.directory / name, name)
        assert desk.find(name)
    desk.told()
    return desk


def named(desk: Desk, name: str, written: str, *, replace: bool = False) -> None:
    asked = of_sum(written)
    order = desk.ask(
        name,
        asked.src,
        replace=replace,
        composition=asked.composition,
        preload=asked.preload,
    )
    order.result(10)


def test_a_named_sum_is_canonical_and_comes_back_after_a_restart(two: Desk) -> None:
    named(two, "blend", "b*.5 + a")
    told, sums = two.told(), two.library.sums
    two.library.stop()
    library = two.open()

    assert told == [("adopt", "blend", None)]
    assert sums == library.sums == {"blend": "a+b*0.5"}
    assert two.told() == [("adopt", "blend", None)]
    library.unregister("blend").result(10)
    assert library.sums == {}


def test_a_named_sum_in_another_is_made_its_parts(two: Desk) -> None:
    named(two, "blend", "a+b*0.5")
    named(two, "half", "blend*0.5+a")

    assert two.library.sums["half"] == "a*1.5+b*0.25"
    with pytest.raises(BadRequest, match="a sum of itself"):
        named(two, "a", "blend", replace=True)


def test_what_is_no_sum_gets_no_name(two: Desk) -> None:
    for name, written, error, field in (
        ("x", "a+nobody", UnknownAdapter, "composition"),
        ("x", "a*zero", BadSum, "composition"),
        ("x*2", "a+b", BadRequest, "name"),
    ):
        with pytest.raises(error) as told:
            named(two, name, written)
        assert told.value.field == field
    assert two.told() == []
