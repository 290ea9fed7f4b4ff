"""Budget: what memory is spent on - slots, KV, adapters - and where golden lives.

Golden is loaded before anybody counts. The budget is what may be spent besides; if no
slot fits into it beside the KV, golden leaves the memory that the model computes in,
and what it held there is given to the slots.
"""

from dataclasses import dataclass, replace

# More would be looked through at each swap for nothing.
_MOST_SLOTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a loaded model takes."""

    loaded_bytes: int  # of its parameters
    packed_bytes: int  # what its kernels hold of them besides
    slot_bytes: int  # of one
    kv_token_bytes: int  # of one token
    context: int  # tokens: the least KV
    can_leave: bool  # whether golden would set memory free by leaving
    host_bytes: int | None = None  # for adapters and others; None: it is the budget
    lora_page_bytes: int = 0  # of a page of factors, where mixed steps have pages


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryPlan:
    """What the budget is spent on; /v1/status shows it as it is."""

    budget_bytes: int
    golden_bytes: int  # as loaded and, where it stays, as packed
    slot_bytes: int  # of one
    slots: int
    kv_token_bytes: int  # of one token
    kv_tokens: int
    lora_pages: int  # of 16 rank rows each; 0: adapters take what they need
    adapter_bytes: int  # of host memory
    golden_stays: bool  # where the model computes


def plan_memory(
    demand: Demand,
    budget_bytes: int,
    *,
    slots: int | None = None,
    kv_tokens: int | None = None,
) -> MemoryPlan:
    """Half for slots, a quarter for KV, of host memory a quarter for adapters.

    `slots`, `kv_tokens`: as somebody asked, whatever the budget; None is by budget.
    """
    slot_bytes, token_bytes = demand.slot_bytes, max(demand.kv_token_bytes, 1)
    kv_bytes = token_bytes * kv_tokens if kv_tokens else budget_bytes // 4
    fits = slot_bytes * (slots or 1) + kv_bytes <= budget_bytes
    golden_stays = fits or not demand.can_leave
    if slots is None:
        slots = min(max(1, budget_bytes // 2 // slot_bytes), _MOST_SLOTS)
    if kv_tokens is None:
        kv_tokens = max(budget_bytes // 4 // token_bytes, demand.context)
    host_bytes = budget_bytes if demand.host_bytes is None else demand.host_bytes
    return MemoryPlan(
        budget_bytes=budget_bytes,
        golden_bytes=demand.loaded_bytes + demand.packed_bytes * golden_stays,
        slot_bytes=slot_bytes,
        slots=slots,
        kv_token_bytes=demand.kv_token_bytes,
        kv_tokens=kv_tokens,
        lora_pages=0,
        adapter_bytes=host_bytes // 4,
        golden_stays=golden_stays,
    )


def in_blocks(plan: MemoryPlan, block_tokens: int) -> MemoryPlan:
    """With KV in whole blocks, up to which it is rounded: a context fits still."""
    blocks = -(-plan.kv_tokens // block_tokens)
    return replace(plan, kv_tokens=blocks * block_tokens)
