"""Whoever is turned away is counted once, by the kind of error."""

import threading
from collections import Counter

import pytest
from litestar.testing import TestClient

from hotswap.api.metrics.refusals import REASONS, counted
from hotswap.api.shared.http_errors import ClientGone
from hotswap.engine.messages import Submit
from hotswap.engine.status import Status
from hotswap.errors import (
    HotswapError,
    OtherTokenizer,
    PromptTooLong,
    StepFailed,
    StillLoading,
    Stopping,
    UnknownAdapter,
)
from tests.asgi import posted
from tests.engines import Start, submit, text_of
from tests.fake_server import FakeEngine, FakeStatus, app_of
from tests.fakes import FakeExecutor, LoudTokenizer
from tests.hotswap.api.metrics.scraping import memory, scrape

ASKED = {"model": "tiny", "prompt": "abc"}


class Refusing(FakeEngine):
    """Answers every job with `error`."""

    error: HotswapError = Stopping()

    def post(self, message: Submit) -> None:
        message.ticket.deliver(self.error)


def test_a_request_that_is_turned_away_is_counted_by_whom_it_may_be() -> None:
    refusals: Counter[str] = Counter()
    engine = Refusing()
    with TestClient(app_of(engine, refusals=refusals)) as client:
        client.post("/v1/completions", json={**ASKED, "temperature": "hot"})
        client.post("/v1/completions", content=b"x", headers={"content-type": "a/b"})
        client.get("/v1/adapters/nope")
        engine.status = FakeStatus(waiting=10)
        client.post("/v1/completions", json=ASKED)
        engine.status = FakeStatus()
        for engine.error in (Stopping(), UnknownAdapter("a"), StillLoading("a")):
            # Several jobs are one request.
            client.post("/invocations", json={"inputs": ["a", "b"]})

    assert refusals == {
        "BadRequest": 1,
        "NotJson": 1,
        "UnknownAdapter": 1,
        "UnknownModel": 1,
        "Overloaded": 1,
        "Stopping": 1,
        "StillLoading": 1,
    }
    assert set(refusals) <= set(REASONS)


def test_a_failure_of_the_server_and_a_client_that_left_are_no_refusals() -> None:
    refusals: Counter[str] = Counter()
    engine = Refusing()
    engine.error = StepFailed("injected")
    with TestClient(app_of(engine, refusals=refusals)) as client:
        assert client.post("/v1/completions", json=ASKED).status_code == 500
    request = posted("/v1/completions")
    assert counted(refusals)(request, ClientGone()).status_code == 499

    assert not refusals


async def test_the_engine_counts_each_job_that_it_turns_away(start: Start) -> None:
    engine = await start(FakeExecutor(), kv_tokens=50)
    before = engine.status
    for _ in range(2):
        with pytest.raises(UnknownAdapter):
            await text_of(submit(engine, "nope"))
    with pytest.raises(PromptTooLong):
        await text_of(submit(engine, "a", prompt=45, tokens=10))
    with pytest.raises(OtherTokenizer):  # it comes again
        await text_of(submit(engine, "a", tokenizer=LoudTokenizer()))

    counters = engine.status.counters

    wanted = {"UnknownAdapter": 2, "PromptTooLong": 1}
    assert (counters.refused, counters.refused_by_reason) == (3, wanted)
    assert before.counters.refused_by_reason == {}
    lines = scrape(engine).splitlines()
    assert 'hotswap_jobs_refused_total{reason="UnknownAdapter"} 2' in lines
    assert 'hotswap_requests_refused_total{reason="UnknownAdapter"} 0' in lines


async def test_a_scrape_does_not_keep_the_event_loop(start: Start) -> None:
    engine = await start(FakeExecutor())
    threads: list[threading.Thread] = []

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

        @property
        def status(self) -> Status:
            threads.append(threading.current_thread())
            return engine.status

        def start(self) -> None:
            threads.append(threading.current_thread())

        def stop(self, limit_s: float) -> None: ...

    with TestClient(app_of(Watched(), memory=memory())) as client:
        assert client.get("/metrics").status_code == 200

    loop, scraped = threads[0], threads[1]
    assert scraped is not loop
    assert scraped.name != "engine"
