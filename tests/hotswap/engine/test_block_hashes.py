"""Blocks are found by those who begin in the same way, and by nobody else."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hotswap.engine.block_hashes import BlockHashes

SIZE = 4
tokens = st.lists(st.integers(0, 2), max_size=20)


def hashes_of(
    tokens: Sequence[int], generation: str = "g", salt: str | None = None
) -> BlockHashes:
    return BlockHashes(tokens, SIZE, generation=generation, cache_salt=salt)


@given(tokens, tokens)
def test_blocks_are_equal_as_far_as_all_tokens_before_their_end_are(
    one: list[int], other: list[int]
) -> None:
    found = zip(hashes_of(one), hashes_of(other), strict=False)

    for at, (mine, theirs) in enumerate(found, 1):
        end = at * SIZE
        assert (mine == theirs) == (one[:end] == other[:end])


def test_generations_and_salts_part_them_however_they_are_spelled() -> None:
    roots: list[tuple[str, str | None]] = [
        *[("a", None), ("a", "b"), ("ab", None), ("b", None), ("a", "None")],
        *[("a\0b", None), ("a', 'b", None), ("a", ""), ("a", "\ud800"), ("", "ab")],
    ]
    firsts = [hashes_of([1] * SIZE, *root)[0] for root in roots]

    assert all(one != other for one, other in combinations(firsts, 2))
    assert firsts == [hashes_of([1] * SIZE, *root)[0] for root in roots]


@given(tokens, tokens, st.integers(0, 4))
def test_they_grow_with_the_tokens(
    first: list[int], more: list[int], asked: int
) -> None:
    growing = list(first)
    hashes = hashes_of(growing)
    begun = hashes[:asked]
    growing += more

    assert list(hashes) == list(hashes_of(first + more))
    assert list(hashes)[: len(begun)] == begun


@given(tokens, st.slices(6), st.integers(-7, 6))
def test_they_are_a_sequence_like_any_other(
    tokens: list[int], part: slice, place: int
) -> None:
    whole = [hashes_of(tokens)[at] for at in range(len(tokens) // SIZE)]

    assert hashes_of(tokens)[part] == whole[part]
    if -len(whole) <= place < len(whole):
        assert hashes_of(tokens)[place] == whole[place]
    else:
        with pytest.raises(IndexError):
            hashes_of(tokens)[place]


class Watched(list[int]):
    """Notes the end of each part that is read."""

    def __init__(self, tokens: Sequence[int]) -> None:
        super().__init__(tokens)
        self.read: list[int] = []

    def __getitem__(self, at: Any) -> Any:
        self.read.append(at.stop)
        return super().__getitem__(at)


def test_each_is_made_once_when_it_is_asked_for() -> None:
    tokens = Watched(range(100 * SIZE))
    hashes = hashes_of(tokens)

    assert (len(hashes), tokens.read) == (100, [])
    for _ in range(2):
        assert len(hashes[2]) == 32
        assert tokens.read == [SIZE, 2 * SIZE, 3 * SIZE]
