"""Ring and Shortest: where a name goes, and whose queue is the shortest."""

import subprocess
import sys
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.routing.ring import Ring
from scheduler.routing.shortest import Shortest


def ring(count: int) -> Ring:
    made = Ring()
    for n in range(count):
        made.add(f"r{n}")
    return made


def test_a_walk_meets_every_replica_once() -> None:
    assert sorted(ring(9).walk("a")) == [f"r{n}" for n in range(9)]
    assert list(Ring().walk("a")) == []


def test_shares_are_about_even() -> None:
    made = ring(10)
    homes = Counter(next(made.walk(f"a{n}")) for n in range(10_000))

    assert len(homes) == 10
    assert max(homes.values()) < 1.4 * 1000


def test_what_a_replica_leaves_goes_to_many() -> None:
    made = ring(10)
    mine = [f"a{n}" for n in range(5000) if next(made.walk(f"a{n}")) == "r3"]

    made.remove("r3")
    made.remove("r3")

    assert len(made) == 9
    assert len({next(made.walk(name)) for name in mine}) >= 8


def test_every_process_has_the_same_places() -> None:
    """Python's own hashes of strings differ from one to the next."""
    code = (
        "from tests.scheduler.routing.test_ring import ring; "
        "print(*(next(ring(9).walk(f'a{n}')) for n in range(20)))"
    )

    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert said.stdout.split() == [next(ring(9).walk(f"a{n}")) for n in range(20)]


CHANGES = st.lists(
    st.tuples(st.sampled_from("abcd"), st.none() | st.integers(0, 9)), max_size=300
)


@settings(deadline=None)
@given(CHANGES)
def test_the_shortest_is_the_least_of_all_after_any_changes(
    changes: list[tuple[str, int | None]],
) -> None:
    shortest, truth = Shortest(), dict[str, float]()
    for name, value in changes:
        if value is None:
            shortest.drop(name)
            truth.pop(name, None)
        else:
            shortest.put(name, float(value))
            truth[name] = float(value)
        least = min(truth, key=lambda each: (truth[each], each), default=None)

        assert shortest.least() == least
        assert len(shortest) == len(truth)
