"""A folder is acted on once it rests, and only once."""

import itertools
import os
import shutil
from pathlib import Path

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.library.watch import Watch
from tests.hotswap.library.shelf import QUIET_S, Clock, Event, Shelf, settle


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
