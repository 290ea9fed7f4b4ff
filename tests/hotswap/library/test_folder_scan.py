"""What is no adapter, or cannot be looked at, holds up no other and loses nobody."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.library.watch import GRACE_S, Watch
from tests.hotswap.library.shelf import Clock, Disk, Event, Shelf, settle, watch_on
from tests.servers import wait_until

ERRORS = [errno.EMFILE, errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOMEM]


@pytest.mark.parametrize("code", ERRORS)
@pytest.mark.parametrize("place", ["", "a0", f"a0/{WEIGHTS_FILE}"])
def test_an_error_of_looking_is_no_absence_and_is_told_once(
    *,
    place: str,
    code: int,
    stocked: Watch,
    seen: list[Event],
    clock: Clock,
    disk: Disk,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    if place == "":
        disk.unlisted[tmp_path] = code  # as without descriptors
    else:
        disk.broken[tmp_path / place] = code

    for _ in range(3):
        stocked.look()
        clock.ahead += 2 * GRACE_S
    said = stocked.trouble
    disk.broken.clear()
    disk.unlisted.clear()
    stocked.look()

    assert seen == []
    assert (len(said), stocked.trouble) == (1, ())
    assert os.strerror(code) in said[0]
    assert str(tmp_path) not in said[0]
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
    *,
    stocked: Watch,
    seen: list[Event],
    clock: Clock,
    disk: Disk,
    ready: Path,
    tmp_path: Path,
) -> None:
    disk.dead.add(tmp_path / "a0")
    shutil.copytree(ready / "a2", tmp_path / "a2")

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
    watch = watch_on(tmp_path, shelf, clock, disk_patience_s=0.1)
    watch.start()
    disk.dead.add(tmp_path)

    wait_until(lambda: bool(watch.trouble))
    assert watch.is_alive
    watch.stop()

    wait_until(lambda: not watch.is_alive)
    assert shelf.events == [("found", "a0")]


def test_files_that_nobody_reads_are_not_looked_at(
    stocked: Watch, seen: list[Event], clock: Clock, tmp_path: Path
) -> None:
    (tmp_path / "a0" / "training.log").write_text("a line")
    (tmp_path / "a0" / "loop").symlink_to("loop")

    settle(stocked, clock)

    assert (seen, stocked.trouble) == ([], ())


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
