"""What a scrape costs: routers ask twenty times a second."""

import time

import pytest

from hotswap.adapters.origin import Origin
from hotswap.adapters.store import Store
from hotswap.engine.engine import Engine
from scheduler import POLICIES
from tests.engines import engine_of, small_scheduler
from tests.fakes import FakeExecutor, generation
from tests.hotswap.api.metrics.scraping import scrape


def engine_with(adapters: int) -> Engine:
    """One that has not started; each adapter has been asked once."""
    store = Store()
    for number in range(adapters):
        name = f"adapter-{number}"
        store.adopt(name, generation(name), Origin(src=name))
    scheduler = small_scheduler(POLICIES["affinity"]())
    engine = engine_of(FakeExecutor(), scheduler, store, fetch=lambda name: None)
    for number in range(adapters):
        engine.latencies.first_token(f"adapter-{number}", 0.1)
        engine.latencies.gap(f"adapter-{number}", 0.01)
    return engine


@pytest.mark.parametrize(("adapters", "most_s"), [(10, 0.01), (1000, 0.1)])
def test_a_scrape_is_cheap(adapters: int, most_s: float) -> None:
    engine = engine_with(adapters)
    took = []
    for _ in range(5):
        began = time.thread_time()
        written = scrape(engine)
        took.append(time.thread_time() - began)

    assert min(took) < most_s
    assert written.count("hotswap_adapter_ready{") == adapters
    assert written.count("vllm:lora_adapter_loaded{") == adapters
