"""A library at its desk; a watch on an empty directory, or on one with two adapters."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hotswap.library import folder_scan
from hotswap.library import watch as watch_module
from hotswap.library.watch import Watch
from tests.hotswap.library.desk import LOUD, Desk, Slow, make
from tests.hotswap.library.shelf import Clock, Disk, Event, Shelf, settle, watch_on


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "adapters")
    for key in ("a", "b", "c", LOUD):
        make(desk.directory / "stock" / key, key)
    desk.open()
    yield desk
    desk.library.stop()


@pytest.fixture
def slow(desk: Desk) -> Iterator[Slow]:
    """The desk's reader; it reads `a` slowly."""
    desk.library.stop()
    slow = desk.read = Slow("a", "slow")
    desk.open()
    yield slow
    slow.gate.set()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watch without events looks often."""
    monkeypatch.setattr(watch_module, "_LOOK_S", 0.05)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def seen(shelf: Shelf) -> list[Event]:
    return shelf.events


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(tmp_path: Path, shelf: Shelf, clock: Clock) -> Watch:
    return watch_on(tmp_path, shelf, clock, disk_patience_s=0.1)


@pytest.fixture
def ready(adapter_folders: Path) -> Path:
    """Eight whole adapters, a0 to a7."""
    return adapter_folders


@pytest.fixture
def stocked(
    watch: Watch, seen: list[Event], clock: Clock, ready: Path, tmp_path: Path
) -> Watch:
    """It has found a0 and a1."""
    for name in ("a0", "a1"):
        shutil.copytree(ready / name, tmp_path / name)
    settle(watch, clock)
    seen.clear()
    return watch


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(folder_scan, "os", disk)
    yield disk
    disk.gate.set()
