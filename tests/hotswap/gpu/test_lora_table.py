"""The table of a mixed step: every owned row once, among its adapter's pages."""

import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.gpu.lora_table import (
    BLOCK_ROWS,
    MOST_PAGES,
    LoraTable,
    TableShape,
    lora_table,
)
from tests.hotswap.gpu.reference_lora import blocks_in_use

NAMES = "abcdef"


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[str], dict[str, list[int]], TableShape]:
    """Owners of rows, where their pages lie, and a shape that holds them."""
    counts = draw(st.lists(st.integers(1, 3), min_size=6, max_size=6))
    places = draw(st.permutations(range(sum(counts) + draw(st.integers(0, 4)))))
    pages, taken = {}, 0
    for name, count in zip(NAMES, counts, strict=True):
        pages[name] = list(places[taken : taken + count])
        taken += count
    few = draw(st.lists(st.sampled_from(["", *NAMES]), min_size=1, max_size=6))
    owners = draw(st.lists(st.sampled_from(few), min_size=1, max_size=80))
    spare = draw(st.sampled_from([0, 1, 16]))
    return owners, pages, TableShape(len(owners) + spare, len(places))


def found(
    owners: list[str], pages: dict[str, list[int]], shape: TableShape
) -> list[tuple[list[int], list[int], int]]:
    data = torch.from_numpy(lora_table(owners, pages, shape))
    return list(blocks_in_use(LoraTable(shape, data)))


@given(steps())
@settings(max_examples=150, deadline=None)
def test_every_row_meets_the_pages_of_its_own_adapter_and_no_others(
    step: tuple[list[str], dict[str, list[int]], TableShape],
) -> None:
    owners, pages, shape = step

    blocks = found(*step)

    for rows, theirs, _ in blocks:
        assert 1 <= len(rows) <= BLOCK_ROWS
        assert len({owners[row] for row in rows}) == 1
        assert theirs == pages[owners[rows[0]]]
    every = [row for rows, _, _ in blocks for row in rows]
    assert sorted(every) == [row for row, owner in enumerate(owners) if owner]
    items = [item + n for _, theirs, item in blocks for n in range(len(theirs))]
    assert items == list(range(len(items)))
    assert len(items) <= shape.items
    assert len(blocks) <= shape.blocks


@given(steps(), st.randoms(use_true_random=False))
@settings(max_examples=50, deadline=None)
def test_where_pages_lie_changes_no_row_of_any_block(
    step: tuple[list[str], dict[str, list[int]], TableShape], random: st.DataObject
) -> None:
    owners, pages, shape = step
    places = list(range(shape.pages))
    random.shuffle(places)  # type: ignore[attr-defined]
    moved = {name: [places[page] for page in theirs] for name, theirs in pages.items()}

    before, after = found(owners, pages, shape), found(owners, moved, shape)

    assert [(rows, item) for rows, _, item in before] == [
        (rows, item) for rows, _, item in after
    ]


def test_the_layout_is_the_documented_one() -> None:
    table = lora_table(["b", "", "a", "b"], {"a": [5], "b": [2, 0]}, TableShape(4, 6))

    assert list(table[:12]) == [2, 0, 0, 0, 5, 2, 0, 0, 0, 0, 0, 0]
    blocks = table[12:].reshape(-1, 20)
    assert list(blocks[0]) == [1, 5, 0, 0, 2] + [-1] * 15
    assert list(blocks[1]) == [2, 2, 1, 1, 0, 3] + [-1] * 14
    assert (blocks[2:, 0] == 0).all()


@pytest.mark.parametrize("rows", [1, 2, 16, 17, 256, 2048])
@pytest.mark.parametrize("pages", [1, 4, 64, 200])
def test_no_step_makes_more_blocks_or_items_than_its_shape_has(
    rows: int, pages: int
) -> None:
    shape = TableShape(rows, pages)
    # The most blocks: as many adapters as can be begin a block for one row each.
    alone = min(rows, pages)
    owners = [f"{n:04}" for n in range(alone)]
    owners += [owners[0]] * (rows - alone)
    lora_table(owners, {key: [n] for n, key in enumerate(sorted(set(owners)))}, shape)
    # The most items: one adapter with as many pages as it may have.
    most = list(range(min(pages, MOST_PAGES)))
    blocks = found(["x"] * rows, {"x": most}, shape)

    assert sum(len(theirs) for _, theirs, _ in blocks) <= shape.items


def test_a_step_of_nobody_uses_no_block() -> None:
    shape = TableShape(8, 4)

    assert found([""] * 5, {}, shape) == []
    assert found([], {}, shape) == []


def test_an_owner_without_pages_is_an_error_and_never_nobody() -> None:
    with pytest.raises(KeyError):
        lora_table(["a", "b"], {"a": [0]}, TableShape(2, 4))


def test_a_table_for_256_rows_and_64_adapters_is_made_while_a_kernel_starts() -> None:
    """100 us where the machine is idle; four times that is a fault, whatever else
    runs here."""
    keys = [f"{n:016x}" for n in range(64)]
    owners = [keys[n % 64] for n in range(256)]
    pages = {key: [n] for n, key in enumerate(keys)}
    shape = TableShape(256, 64)

    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        table = lora_table(owners, pages, shape)
        seconds.append(time.perf_counter() - start)

    assert table.dtype == np.int32
    assert min(seconds) < 400e-6
