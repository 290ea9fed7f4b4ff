"""Who has pages of the pool: who leaves for whom, who cannot come, who failed."""

from dataclasses import replace

import pytest
import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import MixFailed
from hotswap.model.gpu.lora_pool import page_bytes
from hotswap.model.gpu.lora_table import MOST_PAGES
from tests.hotswap.gpu.lora_cast import (
    IN,
    LAYERS,
    WIDTHS,
    Step,
    check,
    generation,
    inputs,
    made,
)

EVERY = tuple(WIDTHS)
Q, K, HEAD = "0.q", "0.k", "head"


def test_each_row_gets_its_own_adapter_whatever_the_ranks_and_targets() -> None:
    a, b = generation("a", 2, Q, HEAD), generation("b", 37, *EVERY)
    c = generation("c", 16, "1.v")

    check(made(), [b, None, a, c, b, a])


def test_modules_of_one_adapter_may_have_different_ranks() -> None:
    many, few = generation("a", 20, Q, "1.v"), generation("b", 3, K, "1.k")
    one = replace(many, deltas={**many.deltas, **few.deltas})

    check(made(), [one, None, few])


def test_the_least_recently_used_leave_and_none_that_the_step_wants() -> None:
    pool = made(pages=3)
    a, b, c, d = (generation(key, 16, Q) for key in "abcd")
    pool.load([a, b, c])
    pool.load([a])

    pool.load([c, d])

    assert pool.loaded == ["a", "c", "d"]
    check(pool, [a, d, b])
    assert set(pool.loaded) == {"a", "b", "d"}


def test_a_large_newcomer_takes_the_pages_of_several() -> None:
    pool = made(pages=4)
    small = [generation(key, 16, Q) for key in "abcd"]
    check(pool, [*small])

    check(pool, [generation("x", 40, *EVERY), small[3]])

    assert set(pool.loaded) == {"x", "d"}


def test_pages_that_were_anothers_hold_nothing_of_it() -> None:
    pool = made(pages=2)
    pool.load([generation("a", 32, *EVERY)])

    check(pool, [generation("b", 1, K), generation("c", 3, Q), None])


def test_what_fits_one_step_is_what_has_pages_at_once() -> None:
    pool = made(pages=3)
    a, b = generation("a", 17, Q), generation("b", 16, Q)

    assert pool.fits([a, b, a, b])
    assert not pool.fits([a, replace(a, key="c")])
    with pytest.raises(AssertionError, match="more adapters than pages"):
        pool.load([a, replace(a, key="c")])


def test_what_is_merged_only_or_too_large_never_gets_pages() -> None:
    pool = made(pages=MOST_PAGES + 8)
    few = made(pages=2)
    merged = Generation(key="m", deltas={}, fits_mixed=False, note="merged only: huge")

    with pytest.raises(MixFailed, match="generation m: merged only: huge"):
        pool.load([merged])
    with pytest.raises(MixFailed, match="its rank is 33, at most 32 fits"):
        few.load([generation("r", 33, Q)])
    with pytest.raises(MixFailed, match="its rank is 513, at most 512 fits"):
        pool.load([generation("r", 513, Q)])
    assert not pool.loaded
    assert not few.loaded


def test_a_module_that_no_layer_has_is_never_left_out_in_silence() -> None:
    delta = Delta(a=torch.ones(1, IN), b=torch.ones(3, 1), scale=1.0)

    with pytest.raises(MixFailed, match=r"0\.o cannot run mixed"):
        made().load([Generation(key="a", deltas={"0.o": delta})])


@pytest.mark.parametrize("value", [torch.inf, -torch.inf, torch.nan])
@pytest.mark.parametrize("which", ["a", "b"])
def test_factors_that_are_not_finite_get_no_pages(value: float, which: str) -> None:
    pool = made(pages=2)
    a, planted = generation("a", 2, Q), generation("p", 2, *EVERY)
    getattr(planted.deltas["1.k"], which)[1, 1] = value
    check(pool, [a, None])

    with pytest.raises(MixFailed, match="generation p: its factors are not finite"):
        pool.load([a, planted])

    assert pool.loaded == ["a"]
    check(pool, [a, generation("b", 2, Q)])  # whose page is the one it was to have


def test_huge_and_tiny_factors_are_finite_where_their_product_is() -> None:
    factors = Delta(
        a=torch.full((2, IN), 2.0**127),
        b=torch.full((WIDTHS[Q], 2), 2.0**-127),
        scale=0.64,
    )

    check(made(), [Generation(key="h", deltas={Q: factors}), generation("a", 2, Q)])


def test_an_upload_that_fails_leaves_nobody_half_in() -> None:
    pool = made(pages=2)
    a, b = generation("a", 2, Q), generation("b", 3, "1.q")
    no_memory = Delta(a=torch.ones(2, IN), b=torch.ones(9, 2), scale=1.0)
    broken = Generation(key="x", deltas={**b.deltas, HEAD: no_memory})
    check(pool, [a])

    with pytest.raises(RuntimeError, match="size"):
        pool.load([a, broken])

    assert pool.loaded == ["a"]
    check(pool, [a, b])


def test_only_those_that_change_the_head_touch_it() -> None:
    pool = made()
    pool.load([generation("a", 2, Q), generation("h", 2, Q, HEAD)])

    assert not pool.touches_head([])
    assert not pool.touches_head(["a"])
    assert pool.touches_head(["a", "h"])


def test_outside_a_mixed_step_nothing_is_added() -> None:
    pool = made()
    y, x = inputs(1, 0)
    Step(pool, [generation("a", 2, Q)]).run(0, y, x)

    assert torch.equal(pool.layer(0).add_to(y.clone(), x), y)


def test_the_head_adds_nothing_where_no_table_is_given_for_it() -> None:
    pool = made()
    step = Step(pool, [generation("h", 2, HEAD)])
    y, x = inputs(1, 2)

    with pool.over(step.table()):
        assert torch.equal(pool.layer(2).add_to(y.clone(), x), y)


def test_what_graphs_hold_never_moves_and_its_memory_is_counted() -> None:
    pool = made(pages=5, dtype=torch.bfloat16)
    layers = [pool.layer(index) for index in range(len(LAYERS))]
    before = [t.data_ptr() for layer in layers for t in (layer.a, layer.b)]

    for key in "abcdefgh":
        pool.load([generation(key, 20, *EVERY)])
    pool.forget("h")

    tensors = [t for layer in layers for t in (layer.a, layer.b)]
    assert [t.data_ptr() for t in tensors] == before
    assert all(t.is_contiguous() for t in tensors)
    assert pool.nbytes == sum(t.nbytes for t in tensors)
    assert pool.nbytes == 5 * page_bytes(LAYERS, torch.bfloat16)
