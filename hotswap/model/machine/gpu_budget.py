"""GPU budget: one slot or two, pages for mixed steps, and KV of all that is left.

Building a slot takes about two steps on a GPU, so many warm ones buy little; what
serves more clients is KV. A device has no more memory than it has: what does not fit
ends the start. Not yet run on a GPU.
"""

from hotswap.errors import StartFailed
from hotswap.model.machine.budget import Demand, MemoryPlan

_MOST_PAGES = 256  # as many adapters as a step has rows
_GB = 1e9


def plan_gpu_memory(
    demand: Demand,
    budget_bytes: int,
    *,
    slots: int | None = None,
    kv_tokens: int | None = None,
) -> MemoryPlan:
    """`slots`, `kv_tokens`: as somebody asked; None is what suits the device.

    Golden leaves if a slot and one context do not fit beside it. Raises StartFailed if
    they do not fit even so.
    """
    slot_bytes, token_bytes = demand.slot_bytes, max(demand.kv_token_bytes, 1)
    wanted_kv = token_bytes * (kv_tokens or demand.context)
    least = slot_bytes * (slots or 1) + wanted_kv + demand.lora_page_bytes
    golden_stays = least <= budget_bytes
    room = budget_bytes if golden_stays else budget_bytes + slot_bytes
    if least > room:
        raise StartFailed(_too_little(demand, room, slots or 1, wanted_kv))
    if slots is None:
        # The second one hides a build behind the steps of the first.
        slots = 2 if golden_stays and 2 * slot_bytes <= room // 4 else 1
    left = room - slots * slot_bytes
    pages = 0
    if page_bytes := demand.lora_page_bytes:
        fitting = min(left // 10, left - wanted_kv) // page_bytes
        pages = max(1, min(fitting, _MOST_PAGES))
    return MemoryPlan(
        budget_bytes=budget_bytes,
        golden_bytes=demand.loaded_bytes,
        slot_bytes=slot_bytes,
        slots=slots,
        kv_token_bytes=demand.kv_token_bytes,
        kv_tokens=kv_tokens or (left - pages * page_bytes) // token_bytes,
        lora_pages=pages,
        adapter_bytes=(demand.host_bytes or budget_bytes) // 4,
        golden_stays=golden_stays,
    )


def _too_little(demand: Demand, room: int, slots: int, wanted_kv: int) -> str:
    """One line: what is missing, and what would fit."""
    slot_bytes, token_bytes = slots * demand.slot_bytes, max(demand.kv_token_bytes, 1)
    tokens = (room - slot_bytes - demand.lora_page_bytes) // token_bytes
    if tokens > 0:
        remedy = f"memory.kv_tokens = {tokens} would fit"
    else:
        remedy = f"a model whose layers take at most {room / 2 / _GB:.1f} GB would fit"
    return (
        f"memory: {slots} slot(s) take {slot_bytes / _GB:.1f} GB and KV for "
        f"{wanted_kv // token_bytes} tokens {wanted_kv / _GB:.1f} GB, but the device "
        f"has {room / _GB:.1f} GB left: {remedy}"
    )
