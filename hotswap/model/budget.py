"""Budget: what memory is spent on - slots, KV, adapters - and where golden lives.

Golden is loaded before anybody counts. The budget is what may be spent besides; if no
slot fits into it beside the KV, golden leaves the memory that the model computes in,
and what it held there is given to the slots.
"""

from dataclasses import dataclass

# More would be looked through at each swap for nothing.
_MOST_SLOTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    slots: int
    kv_tokens: int
    adapter_bytes: int  # of host memory
    golden_stays: bool  # where the model computes


def shares(
    budget_bytes: int,
    host_bytes: int,
    *,
    slot_bytes: int,
    golden_bytes: int,
    token_bytes: int,
    context: int,
    slots: int | None = None,
    kv_tokens: int | None = None,
) -> Shares:
    """Half for slots, a quarter for KV, of host memory a quarter for adapters.

    `golden_bytes`: what golden would set free by leaving; 0 if nothing. `slots`,
    `kv_tokens`: as somebody asked, whatever the budget; None is by budget.
    """
    token_bytes = max(token_bytes, 1)
    kv_bytes = token_bytes * kv_tokens if kv_tokens else budget_bytes // 4
    fits = slot_bytes * (slots or 1) + kv_bytes <= budget_bytes
    if slots is None:
        slots = min(max(1, budget_bytes // 2 // slot_bytes), _MOST_SLOTS)
    if kv_tokens is None:
        kv_tokens = max(budget_bytes // 4 // token_bytes, context)
    return Shares(
        slots=slots,
        kv_tokens=kv_tokens,
        adapter_bytes=host_bytes // 4,
        golden_stays=fits or not golden_bytes,
    )
