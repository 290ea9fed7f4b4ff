"""A folder is acted on once it rests, and one bad folder never holds up another."""

import os
import shutil
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

from hotswap.adapters.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from hotswap.library.entries import Found
from hotswap.library.watch import GRACE_S, Watch
from tests.conftest import wait_until

Event = tuple[str, str]
QUIET_S = 10.0


class Shelf:
    """What the watch said: ("found" or "gone", name). Whole folders are good, and what
    is in `passing` cannot be read just now."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.seen_first: list[str] = []
        self.passing: set[str] = set()

    def seen(self, name: str, folder: Path) -> None:
        self.seen_first.append(name)

    def found(self, name: str, folder: Path, state: str) -> "Future[Found]":
        self.events.append(("found", name))
        outcome: Future[Found] = Future()
        is_whole = (folder / WEIGHTS_FILE).is_file()
        became = Found.AGAIN if name in self.passing else Found.BAD
        outcome.set_result(Found.GOOD if is_whole else became)
        return outcome

    def gone(self, name: str) -> None:
        self.events.append(("gone", name))


class Clock:
    """Stands still at the files' time until it is moved."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


def watch_on(directory: Path, shelf: Shelf, clock: Clock) -> Watch:
    return Watch(
        directory,
        quiet_s=QUIET_S,
        seen=shelf.seen,
        found=shelf.found,
        gone=shelf.gone,
        clock=clock,
        polling=True,
        patience_s=0.1,
    )


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
    return watch_on(tmp_path, shelf, clock)


@pytest.fixture
def ready(adapter_folders: Path) -> Path:
    """Eight whole adapters, a0 to a7."""
    return adapter_folders


def settle(watch: Watch, clock: Clock) -> None:
    """Look, and again when everything has rested."""
    clock.ahead = 0
    watch.look()
    clock.ahead = QUIET_S + 1
    assert not watch.look(), "still restless"


def test_a_folder_is_acted_on_once_it_rests_and_only_once(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")

    first = watch.look(), list(seen)
    clock.ahead += QUIET_S
    second = watch.look(), list(seen)
    third = watch.look(), list(seen)

    assert first == (True, [])
    assert second == third == (False, [("found", "one")])


def test_a_folder_that_is_still_being_copied_waits(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    weights = (ready / "a0" / WEIGHTS_FILE).read_bytes()
    (tmp_path / "one").mkdir()
    restless = [watch.look()]

    shutil.copy(ready / "a0" / CONFIG_FILE, tmp_path / "one")
    restless.append(watch.look())
    for part in (100, 1000, len(weights)):
        (tmp_path / "one" / WEIGHTS_FILE).write_bytes(weights[:part])
        restless.append(watch.look())

    assert restless == [True] * 5
    assert seen == []
    clock.ahead += QUIET_S
    assert watch.look() is False
    assert seen == [("found", "one")]


def test_a_whole_folder_that_is_renamed_into_place_is_taken_at_once(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / ".one")
    watch.look()
    clock.ahead += QUIET_S  # it was whole long before the rename

    (tmp_path / ".one").rename(tmp_path / "one")

    assert watch.look() is False
    assert seen == [("found", "one")]


def test_a_symlink_that_is_flipped_is_followed_at_once(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    clock.ahead += QUIET_S
    (tmp_path / "one").symlink_to(ready / "a0")
    watch.look()

    (tmp_path / ".flip").symlink_to(ready / "a1")
    os.replace(tmp_path / ".flip", tmp_path / "one")

    assert watch.look() is False
    assert seen == [("found", "one")] * 2


def test_a_folder_whose_clock_is_ahead_of_ours_is_taken_when_it_was_seen_resting(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    clock.ahead = -1e6

    assert watch.look() is True
    clock.ahead += QUIET_S
    assert watch.look() is False
    assert seen == [("found", "one")]


def test_a_folder_refused_half_copied_is_acted_on_again_when_mended(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(ready / "a0" / CONFIG_FILE, tmp_path / "one")
    settle(watch, clock)
    watch.look()

    clock.ahead = 0
    shutil.copy(ready / "a0" / WEIGHTS_FILE, tmp_path / "one")
    watch.look()
    clock.ahead += 2 * QUIET_S
    watch.look()

    assert seen == [("found", "one")] * 2


def test_a_folder_refused_again_and_again_has_to_rest_longer_each_time(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    rests = []
    for attempt in range(4):
        (tmp_path / "one" / CONFIG_FILE).write_text("x" * attempt)
        clock.ahead = 0.0
        rested = 0
        while len(seen) == attempt:
            watch.look()
            rested += 1
            clock.ahead += QUIET_S
        rests.append(rested - 1)

    assert rests == [1, 2, 4, 8]


def test_a_changed_folder_is_read_again_when_it_rests(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch, clock)
    seen.clear()

    clock.ahead = 0
    shutil.copytree(ready / "a1", tmp_path / "one", dirs_exist_ok=True)
    first = watch.look(), list(seen)
    clock.ahead += QUIET_S
    second = watch.look(), list(seen)

    assert first == (True, [])
    assert second == (False, [("found", "one")])


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch, clock)
    path = tmp_path / "one" / WEIGHTS_FILE
    old = path.stat()
    spare = tmp_path / "spare"
    spare.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    os.utime(spare, ns=(old.st_atime_ns, old.st_mtime_ns))

    os.replace(spare, path)
    settle(watch, clock)

    assert seen == [("found", "one")] * 2


def test_a_removed_folder_is_retired_once_and_may_come_back(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch, clock)
    shutil.rmtree(tmp_path / "one")
    settle(watch, clock)
    settle(watch, clock)

    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch, clock)

    assert [what for what, _ in seen] == ["found", "gone", "found"]


def test_a_folder_removed_before_it_rested_is_never_read(
    watch: Watch, shelf: Shelf, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    watch.look()

    (tmp_path / "one").rmdir()

    assert watch.look() is False
    assert shelf.seen_first == ["one"]
    assert shelf.events == [("gone", "one")]


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


def test_hidden_folders_and_stray_files_are_ignored(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / ".hidden")
    (tmp_path / "notes.txt").write_text("stray")
    (tmp_path / "dangling").symlink_to("nowhere")

    assert watch.look() is False
    assert watch.look() is False
    assert seen == []


def test_a_symlink_to_a_folder_is_an_adapter(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    (tmp_path / "one").symlink_to(ready / "a0")

    settle(watch, clock)

    assert seen == [("found", "one")]


@pytest.mark.parametrize("place", ["loop", "one/loop"])
def test_a_symlink_that_leads_nowhere_does_not_hold_up_the_others(
    place: str, watch: Watch, shelf: Shelf, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    (tmp_path / place).symlink_to("loop")

    settle(watch, clock)

    assert ("found", "two") in shelf.events


@pytest.mark.parametrize("polling", [False, True])
def test_the_observer_follows_a_folder_from_drop_to_removal(
    polling: bool, shelf: Shelf, tmp_path: Path, ready: Path
) -> None:
    seen = shelf.events
    shutil.copytree(ready / "a0", tmp_path / "early")
    watch = Watch(
        tmp_path,
        quiet_s=0.02,
        seen=shelf.seen,
        found=shelf.found,
        gone=shelf.gone,
        polling=polling,
    )

    watch.start()
    try:
        at_start = list(seen)
        shutil.copytree(ready / "a1", tmp_path / "late")
        wait_until(lambda: ("found", "late") in seen)
        before = len(seen)
        shutil.copytree(ready / "a2", tmp_path / "late", dirs_exist_ok=True)
        wait_until(lambda: len(seen) > before)
        shutil.rmtree(tmp_path / "late")
        wait_until(lambda: ("gone", "late") in seen)
    finally:
        watch.stop()

    assert at_start == [("found", "early")]
    assert "watch" not in {thread.name for thread in threading.enumerate()}
