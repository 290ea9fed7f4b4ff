"""Scraping: all metrics around an engine, as one scrape gets them."""

from typing import Any

from hotswap.api.metrics.exposition import text
from hotswap.api.metrics.route import families
from hotswap.api.shared.server_state import ServerState
from hotswap.model.machine.budget import MemoryPlan
from tests.fake_server import state_of


def memory(slots: int = 1) -> MemoryPlan:
    """A plan with so many slots, that holds nothing else."""
    return MemoryPlan(
        budget_bytes=0,
        golden_bytes=0,
        slot_bytes=0,
        slots=slots,
        kv_token_bytes=0,
        kv_tokens=1000,
        lora_pages=0,
        adapter_bytes=0,
        golden_stays=True,
    )


def server(engine: Any, *, slots: int = 1, **changes: Any) -> ServerState:
    return state_of(engine, memory=memory(slots), **changes)


def scrape(engine: Any, **changes: Any) -> str:
    return text(families(server(engine, **changes))).decode()
