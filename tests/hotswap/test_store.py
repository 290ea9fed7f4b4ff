"""A generation lives as long as a name stands for it or a job leases it."""

import dataclasses
import random

import pytest

from hotswap.adapters.adapter_info import AdapterState
from hotswap.adapters.generation import Generation
from hotswap.adapters.reserved_names import is_base
from hotswap.adapters.store import Store
from hotswap.errors import OtherTokenizer, UnknownAdapter
from tests.fakes import FakeTokenizer, generation
from tests.hotswap.stores import HERE, A, B, knows_one


@pytest.fixture
def store() -> Store:
    """Knows A under the name `one`."""
    return knows_one()


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


def test_the_adapters_are_sorted_frozen_and_the_same_until_something_changes(
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
