"""Routers read where adapters are, and how much waits, by their own rules."""

import threading

import pytest

from hotswap.adapters.origin import Origin
from hotswap.engine.engine import Engine
from hotswap.engine.messages import Adopt
from hotswap.errors import StepFailed
from hotswap.library.timed_read import TimedRead
from tests.engines import NAMES, Start, submit, text_of, until
from tests.fakes import FakeExecutor, generation
from tests.hotswap.api.metrics.scraping import scrape
from tests.routers import LlmD, affinity, aibrix, families, residency


def seen(engine: Engine, slots: int = 1) -> LlmD:
    return LlmD.read(families(scrape(engine, slots=slots)))


async def test_an_adapter_in_a_slot_is_resident_also_when_nobody_asks(
    start: Start,
) -> None:
    engine = await start(FakeExecutor(), "fcfs-merged")
    fresh = seen(engine)
    await text_of(submit(engine, "a", tokens=2))

    idle = seen(engine)

    assert (fresh.active, fresh.gpu_loaded, fresh.waiting) == (set(), 0, set())
    assert (idle.active, idle.gpu_loaded, idle.waiting) == ({"a"}, 1, set())
    assert (idle.max_active, idle.base_model, idle.running) == (1, "tiny", 0)
    assert idle.loaded is not None
    assert idle.loaded["a"] == ("gpu", False, 1)
    assert {idle.loaded[name][0] for name in "bcd"} == {"cpu"}
    assert (affinity(fresh, "a"), affinity(idle, "a"), affinity(idle, "b")) == (
        *(0.8, 1.0),
        0.0,
    )
    assert (residency(idle, "a"), residency(idle, "b")) == (1.0, 0.7)
    assert (residency(fresh, "none"), residency(idle, "none")) == (0.6, 0.0)


async def test_whoever_runs_mixed_is_running_and_whoever_has_no_kv_waits(
    start: Start,
) -> None:
    model = FakeExecutor()
    model.gate = threading.Semaphore(0)
    engine = await start(model, "fcfs-mixed")
    tickets = [submit(engine, name, tokens=40) for name in "aabbc"]  # of four seats
    model.gate.release(6)
    await until(lambda: (engine.status.live, engine.status.waiting) == (4, 1))

    found = seen(engine, slots=2)

    assert (found.running, found.waiting_queue) == (4, 1)
    assert (found.active, found.waiting) == ({"a", "b"}, {"c"})
    assert 0 < found.kv_cache_usage < 1
    assert found.gpu_loaded == 0
    assert affinity(found, "c") == 0.6
    model.gate.release(1000)
    for ticket in tickets:
        await text_of(ticket)
    assert seen(engine).active == set()


async def test_an_adapter_that_is_read_from_the_disk_is_waited_for(
    start: Start,
) -> None:
    fetched: list[str] = []
    engine = await start(FakeExecutor(), fetch=fetched.append)
    engine.post(Adopt("d", None, Origin(src="d", preload=False)))
    ticket = submit(engine, "d", tokens=2)
    await until(lambda: bool(fetched) and engine.status.reading == 1)

    found = seen(engine)

    assert (found.waiting_queue, found.waiting) == (1, {"d"})
    assert found.loaded is not None
    assert set(found.loaded) == {"a", "b", "c"}
    engine.post(Adopt("d", generation("d"), Origin(src="d", pin=True)))
    await text_of(ticket)
    after = seen(engine)
    assert (after.waiting_queue, after.waiting) == (0, set())
    assert after.loaded is not None
    assert after.loaded["d"][1] is True


async def test_a_name_that_a_router_would_misread_is_in_no_list(start: Start) -> None:
    engine = await start(FakeExecutor(), "fcfs-merged")
    name = "a, b"
    engine.post(Adopt(name, generation("x"), Origin(src="x")))
    await text_of(submit(engine, name, tokens=2))

    found = seen(engine)

    assert (found.active, found.waiting, found.gpu_loaded) == (set(), set(), 1)
    assert found.loaded is not None
    assert found.loaded[name][0] == "gpu"


async def test_what_loads_and_slots_take_is_told_by_transition(start: Start) -> None:
    engine = await start(FakeExecutor(), "fcfs-merged")
    for name in NAMES:
        await text_of(submit(engine, name, tokens=2))
    reads = TimedRead(lambda folder: generation(folder.name)).seconds
    for seconds in (0.25, 0.75):
        reads.observe(seconds)

    found = LlmD.read(families(scrape(engine, reads=reads)))

    assert found.load_s == 0.5
    assert found.activate_s == pytest.approx(0.001)


# What AIBrix asks every server of vLLM's kind for, and in which type, of those that
# are not of parts that this server lacks (NIXL, sleep, swapping to the host).
AIBRIX = {
    "num_requests_running": "gauge",
    "num_requests_waiting": "gauge",
    "kv_cache_usage_perc": "gauge",
    "num_preemptions_total": "counter",
    "prompt_tokens_total": "counter",
    "generation_tokens_total": "counter",
    "prefix_cache_queries_total": "counter",
    "prefix_cache_hits_total": "counter",
    "time_to_first_token_seconds": "histogram",
    "inter_token_latency_seconds": "histogram",
    "time_per_output_token_seconds": "histogram",
    "e2e_request_latency_seconds": "histogram",
    "request_queue_time_seconds": "histogram",
    "request_prefill_time_seconds": "histogram",
    "request_decode_time_seconds": "histogram",
}


async def test_aibrix_finds_its_metrics_by_model(start: Start) -> None:
    engine = await start(FakeExecutor(block_tokens=4))
    for name in ("a", "", "a"):
        await text_of(submit(engine, name, prompt=9, tokens=5))

    found = families(scrape(engine))
    told = {
        name: aibrix(found, f"vllm:{name}", kind, "tiny")
        for name, kind in AIBRIX.items()
    }

    totals = engine.status.counters
    assert told["generation_tokens_total"] == totals.generated_tokens == 15
    assert told["prompt_tokens_total"] == totals.prefill_tokens
    assert told["prefix_cache_hits_total"] == totals.prefix_cache_hits > 0
    assert told["time_to_first_token_seconds"].count == 3
    assert told["inter_token_latency_seconds"].count == 12
    for name in ("e2e_request_latency", "request_queue_time", "request_decode_time"):
        assert told[f"{name}_seconds"].count == 3
    assert LlmD.read(found).block_size == 4
    assert LlmD.read(found).blocks == engine.status.kv_tokens // 4


async def test_how_jobs_ended_is_told_by_vllms_reasons(start: Start) -> None:
    """Its FinishReason, but for the repetition that nobody looks for here."""
    model = FakeExecutor()
    engine = await start(model, "fcfs-mixed")

    def told() -> dict[str, float]:
        family = families(scrape(engine))["vllm:request_success_total"]
        assert family.kind == "counter"
        assert all(each.labels["model_name"] == "tiny" for each in family.series)
        return {s.labels["finished_reason"]: s.value for s in family.series}

    assert told() == {"stop": 0, "length": 0, "abort": 0, "error": 0}
    for _ in range(3):
        await text_of(submit(engine, "a", tokens=2))
    await text_of(submit(engine, "a", prompt=2, tokens=9, stop=("3",)))
    model.finish_after = 5
    await text_of(submit(engine, "b", prompt=3, tokens=9))
    model.fail_next = RuntimeError("injected")
    with pytest.raises(StepFailed):
        await text_of(submit(engine, "a"))
    model.gate, model.finish_after = threading.Semaphore(0), 1000
    leaving = submit(engine, "a", tokens=40)
    await leaving.accepted()
    leaving.close()
    model.gate.release(1000)
    await until(lambda: engine.status.counters.cancelled == 1)

    assert told() == {"stop": 2, "length": 3, "abort": 1, "error": 1}
