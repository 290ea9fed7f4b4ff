"""A generation lives as long as a name stands for it or a job leases it."""

import dataclasses
import random

import pytest

from hotswap.adapters.adapter_info import AdapterState, GenerationInfo
from hotswap.adapters.deltas import Generation
from hotswap.adapters.origin import Origin
from hotswap.adapters.reserved_names import is_base
from hotswap.adapters.store import Store
from hotswap.errors import OtherTokenizer, StillLoading, UnknownAdapter
from tests.fakes import FakeTokenizer, generation

A, B = generation("a"), generation("b")
HERE = Origin(src="here")


@pytest.fixture
def store() -> Store:
    """Knows A under the name `one`."""
    store = Store()
    store.adopt("one", A, HERE)
    return store


def test_a_lease_gives_the_generation_its_name_stands_for_and_is_counted(
    store: Store,
) -> None:
    leased = [store.lease("one"), store.lease("one")]
    store.release(leased[0])

    (listed,) = store.adapters()

    assert leased == [A, A]
    assert (listed.leases, listed.requests) == (1, 2)


def test_a_name_that_asks_for_another_adapter_of_the_model_is_not_taken() -> None:
    """`tiny:one` as `model` is the adapter `one`: it would answer in its place."""
    store = Store(reserved={"tiny"})

    store.adopt("tiny:one", A, HERE)
    store.adopt("tiny", A, HERE)
    store.adopt("tinyone", A, HERE)

    states = {row.name: row.state for row in store.adapters()}
    assert states == {
        "tiny:one": AdapterState.FAILED,
        "tiny": AdapterState.FAILED,
        "tinyone": AdapterState.READY,
    }


def test_a_prompt_in_other_tokens_than_the_generations_gets_no_lease(
    store: Store,
) -> None:
    own, other = FakeTokenizer(), FakeTokenizer()
    spoken = dataclasses.replace(B, tokenizer=own)
    store.adopt("two", spoken, HERE)

    for name, tokenizer in (("one", other), ("two", None), ("two", other)):
        with pytest.raises(OtherTokenizer, match=name):
            store.lease(name, tokenizer)

    assert [(row.leases, row.requests) for row in store.adapters()] == [(0, 0)] * 2
    assert store.lease("two", own) is spoken


def test_a_replaced_generation_is_dropped_at_once_if_nobody_leases_it(
    store: Store,
) -> None:
    dropped = store.adopt("one", B, HERE)

    assert dropped == ["a"]
    assert store.lease("one") is B


def test_a_replaced_generation_lives_until_its_last_lease_is_given_back(
    store: Store,
) -> None:
    first, second = store.lease("one"), store.lease("one")

    at_replacement = store.adopt("one", B, HERE)
    newcomer = store.lease("one")
    at_releases = [store.release(first), store.release(second)]

    assert at_replacement == []
    assert newcomer is B
    assert at_releases == [[], ["a"]]


def test_the_last_lease_drops_nothing_while_a_name_stands_for_the_generation(
    store: Store,
) -> None:
    leased = store.lease("one")

    assert store.release(leased) == []
    assert store.lease("one") is A


def test_adopting_the_same_content_again_drops_nothing(store: Store) -> None:
    dropped = store.adopt("one", generation("a"), HERE)

    assert dropped == []
    assert store.lease("one").key == "a"
    assert store.adopt("one", B, HERE) == []
    assert store.release(A) == ["a"]


def test_a_digest_shared_by_two_names_is_dropped_with_the_second(store: Store) -> None:
    store.adopt("two", generation("a"), HERE)

    first, second = store.retire("one"), store.retire("two")

    assert first == []
    assert second == ["a"]


def test_replacing_one_of_two_names_leaves_the_other_its_generation(
    store: Store,
) -> None:
    store.adopt("two", generation("a"), HERE)

    dropped = store.adopt("one", B, HERE)

    assert dropped == []
    assert store.lease("two").key == "a"


def test_a_retired_name_is_unknown_and_its_leases_live_on(store: Store) -> None:
    leased = store.lease("one")

    dropped = store.retire("one")

    assert dropped == []
    assert store.adapters() == ()
    with pytest.raises(UnknownAdapter, match="`one` is not registered"):
        store.lease("one")
    assert store.release(leased) == ["a"]


def test_retiring_an_unknown_name_changes_nothing(store: Store) -> None:
    before = store.adapters()

    assert store.retire("two") == []
    assert store.adapters() == before


def test_a_name_retired_under_lease_can_come_back_with_the_same_content(
    store: Store,
) -> None:
    leased = store.lease("one")
    store.retire("one")

    store.adopt("one", generation("a"), HERE)

    assert store.release(leased) == []
    assert store.retire("one") == ["a"]


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


def test_the_listing_is_sorted_frozen_and_the_same_until_something_changes(
    store: Store,
) -> None:
    store.adopt("also", B, HERE)

    before, same = store.adapters(), store.adapters()
    store.lease("one")

    assert [listed.name for listed in before] == ["also", "one"]
    assert same is before
    assert before[1].requests == 0
    assert store.adapters()[1].requests == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        before[0].name = "x"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "expected"), [("", True), ("base", True), ("Base", False), ("one", False)]
)
def test_only_the_empty_name_and_base_ask_for_the_bare_model(
    name: str, expected: bool
) -> None:
    assert is_base(name) is expected


@pytest.mark.parametrize("seed", range(20))
def test_a_key_is_dropped_exactly_when_its_last_name_or_lease_goes(seed: int) -> None:
    rng = random.Random(seed)
    store = Store()
    names: dict[str, Generation] = {}
    leases: list[Generation] = []

    for _ in range(300):
        held = {g.key for g in [*names.values(), *leases]}
        name = rng.choice("xyz")
        match rng.randrange(4):
            case 0:
                names[name] = generation(rng.choice("abc"))
                dropped = store.adopt(name, names[name], HERE)
            case 1:
                names.pop(name, None)
                dropped = store.retire(name)
            case 2 if name in names:
                leases.append(store.lease(name))
                dropped = []
            case 3 if leases:
                dropped = store.release(leases.pop(rng.randrange(len(leases))))
            case _:
                continue
        left = {g.key for g in [*names.values(), *leases]}

        assert set(dropped) == held - left
        assert len(dropped) <= 1


# --- host memory ------------------------------------------------------------------


def full(count: int) -> Store:
    """Room for so many, and as many there: `a`, `b` and so on."""
    store = Store(max_loaded=count)
    for key in "abcd"[:count]:
        store.adopt(key, generation(key), HERE)
    return store


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
        store.adopt("twin of a", A, other)

        assert store.amend("a", lazy) == []
        assert not store.is_on_disk("a")


def test_a_name_whose_new_files_are_not_read_yet_is_not_answered_from_the_old() -> None:
    store = Store()
    store.adopt("a", A, HERE)

    dropped = store.adopt("a", None, Origin(src="elsewhere", preload=False))

    assert dropped == ["a"]
    assert store.is_on_disk("a")


# --- being read -------------------------------------------------------------------


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
