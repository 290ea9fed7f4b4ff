"""The process around the application: it says so when a thread of it has ended."""

import logging
import threading
from collections import Counter

import pytest
from litestar import Litestar
from litestar.datastructures import State

from hotswap import connections
from hotswap.port import bind
from hotswap.serve import Server
from tests.servers import wait_until


def test_a_thread_that_a_bug_has_ended_ends_the_process(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ended: list[str] = []
    state = State({"ended": lambda: tuple(ended), "answers": Counter()})
    (bound,) = bind("127.0.0.1", 0)
    http = connections.http(
        Litestar([], state=state, logging_config=None), host="", port=0, drain_s=1
    )
    server = Server(http, tell_ready=lambda url: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    with caplog.at_level(logging.CRITICAL):
        thread.start()
        wait_until(lambda: server.started)
        assert thread.is_alive()
        assert not server.ended

        ended.append("watch")
        thread.join(20)

    assert not thread.is_alive()
    assert server.ended == ("watch",)
    assert "watch" in caplog.text
