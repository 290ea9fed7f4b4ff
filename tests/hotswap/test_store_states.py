"""An adapter is ready, failed or loading, and says why."""

import pytest

from hotswap.adapters.adapter_info import AdapterState
from hotswap.adapters.store import Store
from hotswap.errors import StillLoading, UnknownAdapter
from tests.fakes import generation
from tests.hotswap.stores import HERE, A, B, full, knows_one


@pytest.fixture
def store() -> Store:
    """Knows A under the name `one`."""
    return knows_one()


def test_a_refused_change_keeps_the_old_generation_and_notes_the_reason(
    store: Store,
) -> None:
    store.refuse("one", "too short", HERE)

    (listed,) = store.adapters()
    assert listed.state is AdapterState.READY
    assert (listed.generation, listed.reason) == ("a", "too short")
    assert store.lease("one") is A


def test_a_name_refused_at_first_sight_is_failed_and_says_why() -> None:
    store = Store()

    store.refuse("one", "no weights", HERE)

    (listed,) = store.adapters()
    assert listed.state is AdapterState.FAILED
    assert (listed.generation, listed.leases) == (None, 0)
    with pytest.raises(UnknownAdapter, match="`one` is not served: no weights") as told:
        store.lease("one")
    assert (told.value.adapter, told.value.reason) == ("one", "no weights")
    assert store.adapters()[0].requests == 0


def test_an_adopted_generation_clears_the_reason(store: Store) -> None:
    store.refuse("one", "too short", HERE)

    store.adopt("one", B, HERE)

    assert store.adapters()[0].reason is None


def test_a_failed_generation_is_served_under_none_of_its_names(store: Store) -> None:
    store.adopt("two", generation("a"), HERE)
    store.adopt("other", B, HERE)
    leased = store.lease("one")

    store.fail(leased, "out of memory")

    for name in ("one", "two"):
        with pytest.raises(UnknownAdapter, match="out of memory"):
            store.lease(name)
    assert store.lease("other") is B
    assert store.release(leased) == ["a"]


def test_a_failure_of_an_old_generation_leaves_the_new_one_alone(store: Store) -> None:
    leased = store.lease("one")
    store.adopt("one", B, HERE)

    store.fail(leased, "out of memory")

    assert store.lease("one") is B
    assert store.adapters()[0].reason is None


def test_a_failed_name_can_be_adopted_again(store: Store) -> None:
    leased = store.lease("one")
    store.fail(leased, "out of memory")
    store.release(leased)

    dropped = store.adopt("one", generation("a"), HERE)

    assert dropped == []
    assert store.lease("one").key == "a"


def test_a_folder_that_is_read_is_loading_and_says_so() -> None:
    store = Store()

    store.expect("one", HERE)

    (listed,) = store.adapters()
    assert (listed.state, listed.reason) == (AdapterState.LOADING, None)
    with pytest.raises(StillLoading, match="`one` is being read"):
        store.lease("one")
    store.adopt("one", A, HERE)
    assert store.adapters()[0].state is AdapterState.READY
    assert store.lease("one") is A


def test_what_is_served_goes_on_while_its_new_files_are_read(store: Store) -> None:
    store.expect("one", HERE)

    assert store.adapters()[0].state is AdapterState.READY
    assert store.lease("one") is A


def test_a_refused_one_is_loading_again_when_it_is_read_again() -> None:
    store = Store()
    store.refuse("one", "no weights", HERE)

    store.expect("one", HERE)
    assert store.adapters()[0].state is AdapterState.LOADING
    store.refuse("one", "no weights", HERE)

    assert store.adapters()[0].state is AdapterState.FAILED
    with pytest.raises(UnknownAdapter, match="no weights"):
        store.lease("one")


def test_a_passing_refusal_takes_nothing_away_that_is_on_disk() -> None:
    store = full(1)
    store.adopt("b", B, HERE)

    first = store.refuse("a", "too many open files", HERE, is_passing=True)
    again = store.refuse("a", "too many open files", HERE, is_passing=True)

    assert (first, again) == (True, False)
    assert store.is_on_disk("a")
    (a, _) = store.adapters()
    assert (a.state, a.reason) == (AdapterState.READY, "too many open files")
    store.adopt("a", A, HERE)
    assert store.adapters()[0].reason is None
