"""A folder is acted on once it rests, and one bad folder never holds up another."""

import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from hotswap.adapters.checkpoint import CONFIG_FILE, WEIGHTS_FILE, Layout, read
from hotswap.adapters.watch import Watch
from hotswap.model.runner import Runner
from tests.conftest import wait_until

Event = tuple[str, str, str]
Key = Callable[[str], str]


@pytest.fixture
def layout(runner: Runner) -> Layout:
    return runner.layout


@pytest.fixture
def seen() -> list[Event]:
    """What the watch said: (what, name, generation or reason)."""
    return []


@pytest.fixture
def watch(tmp_path: Path, layout: Layout, seen: list[Event]) -> Watch:
    return Watch(
        tmp_path,
        layout,
        quiet_s=0.02,
        adopt=lambda name, generation: seen.append(("adopt", name, generation.key)),
        refuse=lambda name, reason: seen.append(("refuse", name, reason)),
        retire=lambda name: seen.append(("retire", name, "")),
    )


@pytest.fixture
def ready(adapter_folders: Path) -> Path:
    """Eight whole adapters, a0 to a7."""
    return adapter_folders


@pytest.fixture
def key(ready: Path, layout: Layout) -> Key:
    """The generation of one of them."""
    return lambda name: read(ready / name, layout).key


def settle(watch: Watch) -> None:
    """Look until nothing is restless."""
    for _ in range(3):
        if not watch.look():
            return
    raise AssertionError("still restless")


def test_a_folder_is_adopted_at_the_second_look_and_only_once(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path, key: Key
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")

    first = watch.look(), list(seen)
    second = watch.look(), list(seen)
    third = watch.look(), list(seen)

    adopted = [("adopt", "one", key("a0"))]
    assert first == (True, [])
    assert second == third == (False, adopted)


def test_a_folder_that_is_still_being_copied_waits(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path, key: Key
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
    assert watch.look() is False
    assert seen == [("adopt", "one", key("a0"))]


def test_a_folder_refused_half_copied_is_adopted_when_mended(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path, key: Key
) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(ready / "a0" / CONFIG_FILE, tmp_path / "one")
    settle(watch)
    watch.look()

    shutil.copy(ready / "a0" / WEIGHTS_FILE, tmp_path / "one")
    settle(watch)

    assert [event[:2] for event in seen] == [("refuse", "one"), ("adopt", "one")]
    assert WEIGHTS_FILE in seen[0][2]
    assert seen[1][2] == key("a0")


def test_a_changed_folder_is_read_again_when_it_rests(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path, key: Key
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch)
    seen.clear()

    shutil.copytree(ready / "a1", tmp_path / "one", dirs_exist_ok=True)
    first = watch.look(), list(seen)
    second = watch.look(), list(seen)

    assert first == (True, [])
    assert second == (False, [("adopt", "one", key("a1"))])


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_noticed(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch)
    path = tmp_path / "one" / WEIGHTS_FILE
    old = path.stat()
    spare = tmp_path / "spare"
    spare.write_bytes(path.read_bytes()[:-4] + b"\x00\x00\x80\x3f")
    os.utime(spare, ns=(old.st_atime_ns, old.st_mtime_ns))

    os.replace(spare, path)
    settle(watch)

    assert [event[:2] for event in seen] == [("adopt", "one")] * 2
    assert seen[0] != seen[1]


def test_a_removed_folder_is_retired_once_and_may_come_back(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch)
    shutil.rmtree(tmp_path / "one")
    settle(watch)
    settle(watch)

    shutil.copytree(ready / "a0", tmp_path / "one")
    settle(watch)

    assert [what for what, *_ in seen] == ["adopt", "retire", "adopt"]


def test_a_folder_removed_before_it_rested_is_never_mentioned(
    watch: Watch, seen: list[Event], tmp_path: Path
) -> None:
    (tmp_path / "one").mkdir()
    watch.look()

    (tmp_path / "one").rmdir()

    assert watch.look() is False
    assert seen == []


def test_a_directory_that_vanishes_retires_all(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready, tmp_path, dirs_exist_ok=True)
    settle(watch)
    seen.clear()

    tmp_path.rename(tmp_path.with_name("elsewhere"))
    settle(watch)

    assert seen == [("retire", f"a{number}", "") for number in range(8)]


def test_hidden_folders_and_stray_files_are_ignored(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / ".hidden")
    (tmp_path / "notes.txt").write_text("stray")
    (tmp_path / "dangling").symlink_to("nowhere")

    assert watch.look() is False
    assert watch.look() is False
    assert seen == []


def test_a_symlink_to_a_folder_is_an_adapter(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path, key: Key
) -> None:
    (tmp_path / "one").symlink_to(ready / "a0")

    settle(watch)

    assert seen == [("adopt", "one", key("a0"))]


@pytest.mark.parametrize("place", ["loop", "one/loop"])
def test_a_symlink_that_leads_nowhere_does_not_hold_up_the_others(
    place: str, watch: Watch, seen: list[Event], tmp_path: Path, ready: Path
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "one")
    shutil.copytree(ready / "a1", tmp_path / "two")
    (tmp_path / place).symlink_to("loop")

    settle(watch)

    assert ("adopt", "two") in [event[:2] for event in seen]


def test_the_observer_follows_a_folder_from_drop_to_removal(
    watch: Watch, seen: list[Event], tmp_path: Path, ready: Path, key: Key
) -> None:
    shutil.copytree(ready / "a0", tmp_path / "early")

    watch.start()
    try:
        at_start = list(seen)
        shutil.copytree(ready / "a1", tmp_path / "late")
        wait_until(lambda: ("adopt", "late", key("a1")) in seen)
        shutil.copytree(ready / "a2", tmp_path / "late", dirs_exist_ok=True)
        wait_until(lambda: ("adopt", "late", key("a2")) in seen)
        shutil.rmtree(tmp_path / "late")
        wait_until(lambda: ("retire", "late", "") in seen)
    finally:
        watch.stop()

    assert at_start == [("adopt", "early", key("a0"))]
    assert "watch" not in {thread.name for thread in threading.enumerate()}
