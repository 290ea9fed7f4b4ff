"""The directory itself comes, goes and is another one; events only save waiting."""

import errno
import os
import shutil
import threading
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.library import folder_events, folder_scan
from hotswap.library.entries import Found
from hotswap.library.folder_events import FolderEvents
from hotswap.library.folder_scan import identify
from hotswap.library.watch import GRACE_S, Watch
from tests.hotswap.library.shelf import (
    QUIET_S,
    Clock,
    Event,
    Shelf,
    running,
    settle,
    watch_on,
)
from tests.servers import wait_until


def test_a_directory_that_vanishes_retires_all_after_a_grace(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready, tmp_path, dirs_exist_ok=True)
    settle(watch, clock)
    seen.clear()

    tmp_path.rename(tmp_path.with_name("elsewhere"))
    clock.ahead = 0
    watch.look()
    clock.ahead = GRACE_S / 2
    watch.look()
    assert (seen, len(watch.trouble)) == ([], 2)
    clock.ahead = GRACE_S + 1
    watch.look()

    assert seen == [("gone", f"a{number}") for number in range(8)]


def test_a_directory_that_is_made_again_within_the_grace_loses_nobody(
    stocked: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.rmtree(tmp_path)
    stocked.look()
    assert stocked.trouble[0] == "the adapters directory: there is none"
    tmp_path.mkdir()
    stocked.look()
    shutil.copytree(ready / "a0", tmp_path / "a0")
    settle(stocked, clock)

    assert seen == [("found", "a0")]
    clock.ahead = GRACE_S + QUIET_S + 1
    stocked.look()
    assert seen == [("found", "a0"), ("gone", "a1")]
    assert stocked.trouble == ()


def test_a_directory_that_is_moved_while_it_is_looked_at_loses_nobody(
    stocked: Watch,
    seen: list[Event],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = tmp_path.with_name("away")

    def listed_and_moved(place: Path) -> list[str]:
        names = os.listdir(place)
        tmp_path.rename(away)
        return names

    with monkeypatch.context() as patched:
        fake = SimpleNamespace(**{**vars(os), "listdir": listed_and_moved})
        patched.setattr(folder_scan, "os", fake)
        stocked.look()
    assert seen == []
    away.rename(tmp_path)
    stocked.look()

    assert seen == []
    assert stocked.trouble == ()


def test_a_directory_whose_link_is_flipped_is_followed(
    shelf: Shelf, clock: Clock, tmp_path: Path, ready: Path
) -> None:
    for release, name in (("1", "a0"), ("2", "a1")):
        shutil.copytree(ready / name, tmp_path / release / name)
    (tmp_path / "now").symlink_to("1")
    moves: list[str] = []
    watch = watch_on(
        tmp_path / "now", shelf, clock, moved=lambda: moves.append("moved")
    )
    clock.ahead = QUIET_S + 1
    watch.look()

    (tmp_path / "flip").symlink_to("2")
    os.replace(tmp_path / "flip", tmp_path / "now")
    watch.look()
    clock.ahead += GRACE_S + 1
    watch.look()

    assert shelf.events == [("found", "a0"), ("found", "a1"), ("gone", "a0")]
    assert moves == ["moved"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("polling", [False, True])
@pytest.mark.parametrize("times", [1, 3])
def test_a_directory_that_was_made_again_is_followed(
    times: int, polling: bool, shelf: Shelf, ready: Path, tmp_path: Path
) -> None:
    directory = tmp_path / "adapters"
    directory.mkdir()
    with running(watch_on(directory, shelf, quiet_s=0.02, polling=polling)):
        for number in range(times):
            shutil.rmtree(directory)
            directory.mkdir()
            shutil.copytree(ready / f"a{number}", directory / f"a{number}")
            wait_for(shelf, ("found", f"a{number}"))


def wait_for(shelf: Shelf, event: Event) -> None:
    wait_until(lambda: event in shelf.events)


def test_events_come_from_a_directory_that_was_made_again(tmp_path: Path) -> None:
    """Its inode may be the same again."""
    directory, woken = tmp_path / "adapters", threading.Event()
    events = FolderEvents(woken.set, polling=False, disk_patience_s=5)
    try:
        for _ in range(3):
            directory.mkdir()
            identity = identify(directory)
            assert identity is not None
            events.follow(directory, identity)
            woken.clear()
            (directory / "one").mkdir()
            assert woken.wait(10)
            assert events.is_told
            shutil.rmtree(directory)
            wait_until(lambda: not events.is_told)
    finally:
        events.stop()


@pytest.mark.usefixtures("quick")
def test_where_no_events_can_be_had_it_looks_without(
    shelf: Shelf, tmp_path: Path, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoObserver:
        def __init__(self) -> None:
            raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr(folder_events, "Observer", NoObserver)
    with running(watch_on(tmp_path, shelf, quiet_s=0.02, polling=False)):
        shutil.copytree(ready / "a0", tmp_path / "a0")
        wait_for(shelf, ("found", "a0"))


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("polling", [False, True])
def test_the_observer_follows_a_folder_from_drop_to_removal(
    polling: bool, shelf: Shelf, tmp_path: Path, ready: Path
) -> None:
    seen = shelf.events
    shutil.copytree(ready / "a0", tmp_path / "early")

    with running(watch_on(tmp_path, shelf, quiet_s=0.02, polling=polling)):
        at_start = list(seen)
        shutil.copytree(ready / "a1", tmp_path / "late")
        wait_until(lambda: ("found", "late") in seen)
        before = len(seen)
        shutil.copytree(ready / "a2", tmp_path / "late", dirs_exist_ok=True)
        wait_until(lambda: len(seen) > before)
        shutil.rmtree(tmp_path / "late")
        wait_until(lambda: ("gone", "late") in seen)

    assert at_start == [("found", "early")]
    assert "watch" not in {thread.name for thread in threading.enumerate()}


class Buggy(Shelf):
    def found(self, name: str, folder: Path, state: str) -> "Future[Found]":
        self.events.append(("found", name))
        raise SystemExit("a bug")


@pytest.mark.usefixtures("quick")
def test_a_bug_of_ours_does_not_end_the_watch_and_is_told_once(
    clock: Clock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Buggy()
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / CONFIG_FILE).touch()

    with running(watch_on(tmp_path, shelf, clock)) as watch:
        clock.ahead = QUIET_S + 1
        wait_until(lambda: len(shelf.events) >= 3)
        assert watch.is_alive

    assert sum("the watch goes on" in r.message for r in caplog.records) == 1
