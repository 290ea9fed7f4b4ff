"""The block pool: what is held, what is free, and what is found again."""

from hypothesis import given
from hypothesis import strategies as st

from scheduler.block_pool import BlockPool
from scheduler.free_runs import FreeRuns


def test_blocks_of_one_job_are_neighbours_and_go_on_where_the_last_one_ends() -> None:
    pool = BlockPool(10)
    first, second = pool.take(3), pool.take(3)
    assert (first, second) == ([0, 1, 2], [3, 4, 5])
    assert pool.take(2, after=second[-1]) == [6, 7]
    pool.release(first)
    assert pool.take(2, after=7) == [8, 9]
    assert pool.take(3, after=9) == [0, 1, 2]


def test_what_is_known_is_found_until_its_room_is_needed() -> None:
    pool = BlockPool(4)
    held = pool.take(3)
    for block, digest in zip(held, (b"0", b"1", b"2"), strict=True):
        pool.know("g", block, digest)
    pool.release(held)
    assert pool.free == 4
    assert pool.find("g", [b"0", b"1", b"2", b"3"]) == held
    assert pool.find("h", [b"0"]) == []
    taken = pool.take(2)  # the one that nobody knew, and the end of the prefix
    assert pool.find("g", [b"0", b"1", b"2"]) == held[:2]
    pool.check(set(taken))


def test_a_block_that_is_held_is_never_given_to_another() -> None:
    pool = BlockPool(2)
    held = pool.take(1)
    pool.know("g", held[0], b"0")
    pool.hold(pool.find("g", [b"0"]))
    pool.release(held)
    assert pool.free == 1
    assert pool.take(1) == [1]
    assert pool.free == 0
    pool.release(held)
    assert pool.find("g", [b"0"]) == held


def test_a_known_block_is_written_to_by_one_who_holds_it_alone() -> None:
    pool = BlockPool(2)
    held = pool.take(1)
    pool.know("g", held[0], b"0")
    assert pool.reclaim(held[0]) == []  # somebody reads it
    pool.release(held)

    assert pool.reclaim(held[0]) == held
    assert pool.find("g", [b"0"]) == []  # until it is written
    assert pool.free == 1
    pool.check(set(held))
    pool.know("g", held[0], b"0")
    pool.release(held)
    assert pool.find("g", [b"0"]) == held


def test_a_generation_is_forgotten_at_once_and_its_blocks_are_the_first_to_go() -> None:
    pool = BlockPool(3)
    old, new = pool.take(1), pool.take(1)
    pool.know("old", old[0], b"0")
    pool.know("new", new[0], b"0")
    pool.release(old)
    pool.release(new)
    pool.forget("new")
    assert pool.find("new", [b"0"]) == []
    pool.take(2)
    assert pool.find("old", [b"0"]) == old


def test_what_a_failed_step_has_written_is_not_found() -> None:
    pool = BlockPool(2)
    held = pool.take(2)
    pool.know("g", held[0], b"0")
    pool.distrust(held)
    pool.release(held)
    assert pool.find("g", [b"0"]) == []
    pool.check(set())


def test_of_two_blocks_with_the_same_tokens_the_first_stays_known() -> None:
    pool = BlockPool(2)
    first, second = pool.take(1), pool.take(1)
    pool.know("g", first[0], b"0")
    pool.know("g", second[0], b"0")
    pool.release(second)
    assert pool.find("g", [b"0"]) == first
    pool.check(set(first))


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 5)), max_size=60))
def test_books_balance_whatever_is_taken_found_and_released(
    orders: list[tuple[int, int]],
) -> None:
    pool = BlockPool(24)
    held: list[list[int]] = []
    for count, kind in orders:
        if kind < 3 and pool.free >= count:
            known = pool.find("g", [bytes([n]) for n in range(count)])
            pool.hold(known)
            if pool.free >= count - len(known):
                blocks = known + pool.take(count - len(known))
                for n, block in enumerate(blocks):
                    pool.know("g", block, bytes([n]))
                held.append(blocks)
            else:
                pool.release(known)
        elif held and kind < 5:
            pool.release(held.pop(count % len(held)))
        elif kind == 5:
            pool.forget("g")
        pool.check({block for blocks in held for block in blocks})
    for blocks in held:
        pool.release(blocks)
    assert pool.free == 24
    assert sorted(pool.take(24)) == list(range(24))


@given(st.lists(st.integers(0, 19), unique=True), st.integers(1, 20))
def test_runs_give_what_is_free_and_nothing_else(used: list[int], count: int) -> None:
    runs = FreeRuns(20)
    assert runs.take(20, None) == list(range(20))
    for number in used:
        runs.add(number)
    assert list(runs) == sorted(used)
    count = min(count, len(used))
    taken = runs.take(count, used[0] if used else None)
    assert len(set(taken)) == count
    assert sorted([*taken, *runs]) == sorted(used)
