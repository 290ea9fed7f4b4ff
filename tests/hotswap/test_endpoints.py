"""Endpoints are kept on the disk, and wait for none that does not answer."""

import threading
from pathlib import Path

import pytest

from hotswap.api.shared import endpoints
from hotswap.api.shared.endpoints import Endpoint, Endpoints
from hotswap.short_thread import at_disk


def test_a_disk_that_does_not_answer_is_an_error_and_keeps_no_thread_of_a_pool(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()

    def dead(path: Path, value: object) -> None:
        with at_disk():
            gate.wait(20)

    made = Endpoints(tmp_path / "endpoints.json", disk_patience_s=0.05)
    monkeypatch.setattr(endpoints, "write_json", dead)
    try:
        with pytest.raises(TimeoutError, match="does not answer"):
            made.put("sea", Endpoint(adapter="pirate"))
    finally:
        gate.set()
    assert not made.by_name


def test_what_was_put_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "endpoints.json"
    Endpoints(path).put("sea", Endpoint(adapter="pirate"))

    assert Endpoints(path).adapter("sea") == "pirate"
