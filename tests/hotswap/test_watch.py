"""A folder is acted on once it rests, and one bad folder never holds up another."""

import errno
import itertools
import os
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotswap.adapters.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from hotswap.library import looks, observing
from hotswap.library import watch as watch_module
from hotswap.library.entries import Found
from hotswap.library.watch import GRACE_S, Watch
from tests.servers import wait_until

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


# --- what cannot be looked at -------------------------------------------------------


class Disk:
    """The disk as the watch sees it: what is `broken` raises, what is `dead` waits."""

    def __init__(self) -> None:
        self.broken: dict[Path, int] = {}
        self.dead: set[Path] = set()
        self.gate = threading.Event()

    def _meet(self, path: Path) -> None:
        for place in (path, path.parent):
            if place in self.broken:
                raise OSError(self.broken[place], os.strerror(self.broken[place]))
            if place in self.dead:
                assert self.gate.wait(20)

    def stat(self, path: Path) -> os.stat_result:
        self._meet(path)
        return os.stat(path)

    def listdir(self, path: Path) -> list[str]:
        if path in self.broken or path in self.dead:
            self._meet(path)
        return os.listdir(path)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    disk = Disk()
    monkeypatch.setattr(looks, "os", disk)
    yield disk
    disk.gate.set()


ERRORS = [errno.EMFILE, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOMEM]


@pytest.fixture
def stocked(watch: Watch, seen: list[Event], clock: Clock, ready: Path) -> Watch:
    """It has found a0 and a1."""
    directory = watch._directory
    for name in ("a0", "a1"):
        shutil.copytree(ready / name, directory / name)
    settle(watch, clock)
    seen.clear()
    return watch


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("place", ["", "a0", f"a0/{WEIGHTS_FILE}"])
def test_an_error_of_looking_is_no_absence_and_is_told_once(
    place: str,
    code: int,
    stocked: Watch,
    disk: Disk,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    directory, clock = stocked._directory, stocked._clock
    assert isinstance(clock, Clock)
    path = directory / place
    if place == "":
        # The directory is there, and cannot be listed: as without descriptors.
        disk.listdir = lambda path: disk.stat(path / "x") and []  # type: ignore
        disk.broken[path / "x"] = code
    else:
        disk.broken[path] = code

    for _ in range(3):
        stocked.look()
        clock.ahead += 2 * GRACE_S
    said = stocked.trouble
    disk.broken.clear()
    disk.listdir = os.listdir  # type: ignore
    stocked.look()

    assert stocked._acted_on.keys() == {"a0", "a1"}
    assert (len(said), stocked.trouble) == (1, ())
    assert os.strerror(code) in said[0]
    assert str(directory) not in said[0]
    told = [r for r in caplog.records if os.strerror(code) in r.message]
    assert [r.levelname for r in told] == ["WARNING", "INFO"]


def test_a_new_folder_that_cannot_be_looked_at_is_found_and_says_why_itself(
    watch: Watch, seen: list[Event], clock: Clock, disk: Disk, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    disk.broken[tmp_path / "one"] = errno.EIO

    settle(watch, clock)

    assert seen == [("found", "one")]


def test_a_dead_mount_under_one_folder_holds_up_no_other(
    stocked: Watch, seen: list[Event], clock: Clock, disk: Disk, ready: Path
) -> None:
    directory = stocked._directory
    disk.dead.add(directory / "a0")
    shutil.copytree(ready / "a2", directory / "a2")

    settle(stocked, clock)
    assert seen == [("found", "a2")]
    assert stocked.trouble == ("a0: it does not answer",)

    disk.dead.clear()
    disk.gate.set()
    wait_until(lambda: not stocked.look() and stocked.trouble == ())
    assert seen == [("found", "a2")]


def test_a_dead_mount_under_the_directory_changes_nothing_and_ends_with_the_watch(
    shelf: Shelf, clock: Clock, disk: Disk, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "a0")
    watch = watch_on(tmp_path, shelf, clock)
    watch.start()
    disk.dead.add(tmp_path)

    wait_until(lambda: bool(watch.trouble))
    assert watch.is_alive
    watch.stop()

    wait_until(lambda: not watch.is_alive)
    assert shelf.events == [("found", "a0")]


def test_one_that_could_not_be_read_just_now_is_found_again_and_again_later(
    watch: Watch, shelf: Shelf, clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    shelf.passing.add("one")
    settle(watch, clock)
    times = [clock.ahead]
    while len(shelf.events) < 5:
        clock.ahead += 1
        watch.look()
        if len(shelf.events) > len(times):
            times.append(clock.ahead)

    waits = [later - sooner for sooner, later in itertools.pairwise(times)]
    assert waits == sorted(waits)
    assert 1 < waits[0] < waits[-1] < 60
    shelf.passing.clear()
    for _ in range(100):
        clock.ahead += 10
        watch.look()
    assert len(shelf.events) == 6, "it was refused for good"


def test_files_that_nobody_reads_are_not_looked_at(
    stocked: Watch, seen: list[Event], clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "a0" / "training.log").write_text("a line")
    (tmp_path / "a0" / "loop").symlink_to("loop")

    settle(stocked, clock)

    assert (seen, stocked.trouble) == ([], ())


@pytest.mark.usefixtures("quick")
def test_a_bug_of_ours_does_not_end_the_watch_and_is_told_once(
    watch: Watch,
    clock: Clock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[str] = []

    def broken(name: str, folder: Path, state: str) -> "Future[Found]":
        calls.append(name)
        raise SystemExit("a bug")

    monkeypatch.setattr(watch, "_found", broken)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / CONFIG_FILE).touch()

    watch.start()
    try:
        clock.ahead = QUIET_S + 1
        wait_until(lambda: len(calls) >= 3)
        assert watch.is_alive
    finally:
        watch.stop()

    assert sum("the watch goes on" in r.message for r in caplog.records) == 1


# --- the directory itself -----------------------------------------------------------


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
        patched.setattr(looks, "os", fake)
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
    watch = Watch(
        tmp_path / "now",
        quiet_s=QUIET_S,
        seen=shelf.seen,
        found=shelf.found,
        gone=shelf.gone,
        moved=lambda: moves.append("moved"),
        clock=clock,
        polling=True,
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
    times: int,
    polling: bool,
    shelf: Shelf,
    ready: Path,
    tmp_path: Path,
) -> None:
    """Its inode may be the same again."""
    directory = tmp_path / "adapters"
    directory.mkdir()
    watch = Watch(
        directory,
        quiet_s=0.02,
        seen=shelf.seen,
        found=shelf.found,
        gone=shelf.gone,
        polling=polling,
    )
    watch.start()
    try:
        for number in range(times):
            shutil.rmtree(directory)
            directory.mkdir()
            wait_until(lambda: watch._observing.is_told is not polling)
            shutil.copytree(ready / f"a{number}", directory / f"a{number}")
            wait_until(lambda n=number: ("found", f"a{n}") in shelf.events)  # type: ignore[misc]
    finally:
        watch.stop()


@pytest.mark.usefixtures("quick")
def test_where_no_events_can_be_had_it_looks_without(
    shelf: Shelf, tmp_path: Path, ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class NoObserver:
        def __init__(self) -> None:
            raise OSError(errno.EMFILE, "inotify instance limit reached")

    monkeypatch.setattr(observing, "Observer", NoObserver)
    watch = Watch(
        tmp_path, quiet_s=0.02, seen=shelf.seen, found=shelf.found, gone=shelf.gone
    )
    watch.start()
    try:
        shutil.copytree(ready / "a0", tmp_path / "a0")
        wait_until(lambda: ("found", "a0") in shelf.events)
    finally:
        watch.stop()


def test_hidden_folders_and_stray_files_are_ignored(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / ".hidden")
    (tmp_path / "notes.txt").write_text("stray")
    (tmp_path / "dangling").symlink_to("nowhere")

    assert watch.look() is False
    assert watch.look() is False
    assert seen == []


def test_a_name_that_no_answer_could_tell_is_passed_over_and_told(
    watch: Watch, seen: list[Event], clock: Clock, tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    (tmp_path / os.fsdecode(b"\xff\xfebytes")).mkdir()

    settle(watch, clock)

    assert seen == [("found", "one")]
    assert watch.trouble == ("names that are not UTF-8 are passed over",)


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


@pytest.mark.usefixtures("quick")
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
