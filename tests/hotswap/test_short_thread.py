"""A short thread ends, and with it the OpenMP workers that torch made for it."""

import os
import threading
from pathlib import Path

import pytest
import torch

from hotswap.short_thread import in_short_thread
from tests.servers import wait_until

TASKS = Path("/proc/self/task")


@pytest.mark.skipif(not TASKS.exists(), reason="counts the threads Linux lists")
def test_no_worker_outlives_a_short_thread() -> None:
    during: list[int] = []

    def parallel() -> float:
        total = float((torch.ones(1 << 22) * 2).sum())
        during.append(len(os.listdir(TASKS)))
        return total

    before = len(os.listdir(TASKS))

    assert in_short_thread(parallel) == 2 * (1 << 22)

    assert during[0] > before, "it ran on a thread of its own"
    wait_until(lambda: len(os.listdir(TASKS)) <= before)
    assert not [t for t in threading.enumerate() if t.name.startswith("short thread")]


def test_a_short_thread_raises_what_its_work_raised() -> None:
    def fail() -> None:
        raise ValueError("the reason")

    with pytest.raises(ValueError, match="the reason"):
        in_short_thread(fail)


def test_that_there_is_no_thread_is_told_as_what_the_disk_tells(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)

    with pytest.raises(BlockingIOError, match="can't start new thread"):
        in_short_thread(lambda: None)
