"""On a GPU's costs affinity keeps up with the better of always mixed and merged."""

from dataclasses import replace

import pytest

from benchmarks.cells import Cell, play
from benchmarks.gpu_policies import compare
from benchmarks.setups import GPU

# Three adapters evenly; one with nearly all requests, few clients and too many.
SPREAD = Cell(
    machine="h100-8b",
    zipf=0.0,
    stay=0.0,
    adapters=3,
    load="closed:24",
    requests=72,
    setup=replace(GPU, max_batch=32, kv_tokens=40_000),
)
HOT = replace(SPREAD, zipf=4.0)
FLOOD = replace(HOT, load="closed:48", requests=144)

# Of ten adapters two are served merged only, with fewer jobs than a swap is worth.
SOME_ALONE = replace(
    SPREAD, adapters=10, merged_only=5, load="closed:24", requests=96, setup=GPU
)


@pytest.mark.parametrize(
    ("cell", "least"),
    [(SPREAD, 0.97), (HOT, 1.03), (FLOOD, 1.01)],
    ids=["spread", "hot", "flood"],
)
def test_affinity_keeps_up_with_the_better_of_always_mixed_and_always_merged(
    cell: Cell, least: float
) -> None:
    """Where one adapter is hot it is ahead of both: it merges that one and mixes the
    rest. 0.983, 1.068 and 1.049 were found."""
    found = compare(cell)

    assert found.throughput >= least
    assert found.ttft_p99 <= max(1.01, found.noise)


def test_swaps_for_adapters_that_are_merged_only_keep_near_their_budget() -> None:
    """They took 0.31 of the time when a turn of one was for its part of 256 seats; 0.04
    was found."""
    found, mixed = play("affinity", SOME_ALONE), play("fcfs-mixed", SOME_ALONE)

    assert found.swap_share <= 0.08
    assert found.tokens_per_s >= 0.9 * mixed.tokens_per_s
    assert found.ttft_p99 <= 0.5 * mixed.ttft_p99
