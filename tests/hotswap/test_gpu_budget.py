"""What a GPU's memory is spent on."""

from dataclasses import replace

import pytest

from hotswap.errors import StartFailed
from hotswap.model.machine.budget import Demand
from hotswap.model.machine.gpu_budget import plan_gpu_memory

GB = 10**9
# Of Llama 3.1 8B and 3.2 1B in bfloat16; a page is rank 16 on all layers.
LARGE = Demand(
    loaded_bytes=16 * GB,
    packed_bytes=0,
    slot_bytes=14 * GB,
    kv_token_bytes=131_072,
    context=131_072,
    can_leave=True,
    host_bytes=40 * GB,
    lora_page_bytes=84_000_000,
)
SMALL = replace(
    LARGE,
    loaded_bytes=2_500_000_000,
    slot_bytes=1_950_000_000,
    kv_token_bytes=32_768,
    lora_page_bytes=22_500_000,
)


def left(total_gb: int, demand: Demand) -> int:
    """The budget of an idle card of so many GB."""
    return (total_gb * GB - demand.loaded_bytes) * 7 // 8


def test_80_gb_hold_8b_with_one_slot_and_a_quarter_of_a_million_tokens() -> None:
    found = plan_gpu_memory(LARGE, left(80, LARGE))

    assert (found.slots, found.golden_stays) == (1, True)
    assert found.kv_tokens >= 250_000
    assert found.lora_pages >= 32


def test_a_small_model_has_a_second_slot_to_build_in_and_kv_of_the_rest() -> None:
    budget = left(80, SMALL)
    found = plan_gpu_memory(SMALL, budget)

    assert (found.slots, found.lora_pages) == (2, 256)
    spent = (
        found.slots * found.slot_bytes
        + found.lora_pages * SMALL.lora_page_bytes
        + found.kv_tokens * found.kv_token_bytes
    )
    assert 0 <= budget - spent < found.kv_token_bytes


def test_golden_leaves_a_card_that_holds_a_slot_and_a_context_but_not_both_copies() -> (
    None
):
    found = plan_gpu_memory(replace(LARGE, context=8192), 7 * GB)

    assert (found.slots, found.golden_stays) == (1, False)
    assert found.kv_tokens >= 8192


@pytest.mark.parametrize(
    ("budget", "asked", "said"),
    [
        (5 * GB, {}, "memory.kv_tokens = 37506 would fit"),
        (30 * GB, {"slots": 3}, "3 slot(s) take 42.0 GB"),
        (20 * GB, {"kv_tokens": 400_000}, "KV for 400000 tokens 52.4 GB"),
        (50_000_000, {}, "at most 7.0 GB would fit"),
    ],
)
def test_what_does_not_fit_ends_the_start_with_what_would(
    budget: int, asked: dict[str, int], said: str
) -> None:
    with pytest.raises(StartFailed) as caught:
        plan_gpu_memory(LARGE, budget, **asked)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_somebody_asked_for_is_what_he_gets() -> None:
    found = plan_gpu_memory(LARGE, 56 * GB, slots=2, kv_tokens=150_000)

    assert (found.slots, found.kv_tokens) == (2, 150_000)
    assert found.lora_pages >= 1
