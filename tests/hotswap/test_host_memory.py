"""So many generations stay in host memory; the others are read again when asked for."""

import pytest

from hotswap.adapters.adapter_info import AdapterState, GenerationInfo
from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.errors import UnknownAdapter
from tests.fakes import generation
from tests.hotswap.stores import HERE, A, B, full


def use(store: Store, name: str) -> None:
    store.release(store.lease(name))


def test_the_least_recently_leased_leaves_first_and_stays_known() -> None:
    store = full(3)
    use(store, "a")

    dropped = store.adopt("d", generation("d"), HERE)

    assert dropped == ["b"]
    assert [name for name in "abcd" if store.is_on_disk(name)] == ["b"]
    listed = {each.name: each for each in store.adapters()}
    assert listed["b"].state is AdapterState.READY
    assert (listed["b"].is_loaded, listed["b"].generation) == (False, "b")


def test_one_that_left_is_leased_again_once_it_was_read_again() -> None:
    store = full(1)
    store.adopt("b", B, HERE)

    dropped = store.adopt("a", generation("a"), HERE)

    assert dropped == ["b"]
    assert store.lease("a").key == "a"


def test_a_leased_one_never_leaves_and_a_pinned_one_neither() -> None:
    store = Store(max_loaded=2)
    store.adopt("a", A, Origin(src="here", pin=True))
    store.adopt("b", B, HERE)
    leased = store.lease("b")

    dropped = store.adopt("c", generation("c"), HERE)
    after = store.adopt("d", generation("d"), HERE)
    at_release = store.release(leased)

    assert (dropped, after, at_release) == ([], ["c"], ["b"])
    assert not store.is_on_disk("a")


def test_an_unpinned_one_may_leave() -> None:
    store = Store(max_loaded=1)
    store.adopt("a", A, Origin(src="here", pin=True))
    store.adopt("b", B, HERE)

    dropped = store.amend("a", HERE)

    assert dropped == ["a"]


def test_bytes_are_counted_as_adapters_come_and_go() -> None:
    each = A.nbytes
    store = Store(max_bytes=2 * each)
    for key in "abc":
        store.adopt(key, generation(key), HERE)

    assert store.loaded_bytes == 2 * each
    assert [name for name in "abc" if store.is_on_disk(name)] == ["a"]
    store.retire("b")
    assert store.loaded_bytes == each


def test_an_adapter_not_read_yet_is_ready_and_on_disk() -> None:
    store = Store()

    store.adopt("a", None, Origin(src="here", preload=False))

    (listed,) = store.adapters()
    assert (listed.state, listed.generation_info) == (
        AdapterState.READY,
        GenerationInfo(),
    )
    assert store.is_on_disk("a")


def test_an_adapter_on_disk_that_cannot_be_read_is_failed() -> None:
    store = full(1)
    store.adopt("b", B, HERE)

    store.refuse("a", "the folder has gone", HERE)

    assert not store.is_on_disk("a")
    with pytest.raises(UnknownAdapter, match="the folder has gone"):
        store.lease("a")


def test_an_adapter_that_shall_not_be_preloaded_any_more_leaves() -> None:
    store = full(1)

    dropped = store.amend("a", Origin(src="here", preload=False))

    assert dropped == ["a"]
    assert store.is_on_disk("a")


def test_what_another_name_pins_or_preloads_stays_in_memory() -> None:
    lazy, pinned = Origin(src="here", preload=False), Origin(src="here", pin=True)
    for other in (HERE, pinned, Origin(src="here", preload=False, pin=True)):
        store = full(1)
        store.adopt("simulator of a", A, other)

        assert store.amend("a", lazy) == []
        assert not store.is_on_disk("a")


def test_a_name_whose_new_files_are_not_read_yet_is_not_answered_from_the_old() -> None:
    store = Store()
    store.adopt("a", A, HERE)

    dropped = store.adopt("a", None, Origin(src="elsewhere", preload=False))

    assert dropped == ["a"]
    assert store.is_on_disk("a")
