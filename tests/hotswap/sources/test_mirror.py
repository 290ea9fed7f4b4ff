"""A place with a folder for each adapter becomes a directory of links, and stays so."""

import os
from pathlib import Path

import pytest

from hotswap.sources.content_cache import ContentCache
from hotswap.sources.fetcher import Fetcher
from hotswap.sources.location import parse
from hotswap.sources.mirror import Mirror
from tests.hotswap.sources.memory_remote import MemoryRemote
from tests.servers import wait_until

PLACE = parse("s3://bucket/adapters")


@pytest.fixture
def remote() -> MemoryRemote:
    return MemoryRemote()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "links"
    directory.mkdir()
    return directory


@pytest.fixture
def mirror(tmp_path: Path, remote: MemoryRemote, directory: Path) -> Mirror:
    return mirror_on(tmp_path, remote, directory)


def mirror_on(tmp_path: Path, remote: MemoryRemote, directory: Path) -> Mirror:
    fetcher = Fetcher(
        ContentCache(tmp_path / "cache", 1 << 20),
        most_bytes=1000,
        key="adapters.source_max_gb",
        make_remote=lambda scheme: remote,
    )
    return Mirror(fetcher, PLACE, directory, poll_s=0.05, quiet_s=0.01)


def put(remote: MemoryRemote, name: str, body: str) -> None:
    remote.there[f"adapters/{name}"] = {"adapter_config.json": body.encode()}


def look(mirror: Mirror, times: int = 1) -> None:
    """And wait for what is fetched because of it."""
    for _ in range(times):
        mirror.look()
        wait_until(lambda: all(t.future.done() for _, t in mirror._fetching.values()))
        mirror.act()


def found(directory: Path) -> dict[str, str]:
    """What each link leads to, by name."""
    return {
        path.name: (path / "adapter_config.json").read_text()
        for path in directory.iterdir()
    }


def test_what_is_there_at_the_start_is_linked(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, "one", "1")
    put(remote, "two", "2")

    look(mirror)

    assert found(directory) == {"one": "1", "two": "2"}


def test_what_changes_is_taken_when_two_looks_agree(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, "one", "1")
    look(mirror)
    put(remote, "one", "half")
    put(remote, "two", "2")

    look(mirror)
    assert found(directory) == {"one": "1"}
    put(remote, "one", "whole")
    look(mirror)
    assert found(directory) == {"one": "1", "two": "2"}
    look(mirror)
    assert found(directory) == {"one": "whole", "two": "2"}


def test_what_is_as_it_was_is_not_fetched_again(
    mirror: Mirror, remote: MemoryRemote
) -> None:
    put(remote, "one", "1")
    look(mirror, 4)

    assert len(remote.read_of) == 1


def test_what_is_gone_for_two_looks_loses_its_link(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, "one", "1")
    put(remote, "two", "2")
    look(mirror, 2)
    del remote.there["adapters/one"]

    look(mirror)
    assert set(found(directory)) == {"one", "two"}
    look(mirror)
    assert set(found(directory)) == {"two"}


def test_a_look_that_fails_takes_nothing_away_and_is_told(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, "one", "1")
    look(mirror, 2)
    remote.is_away = True

    look(mirror, 5)

    assert found(directory) == {"one": "1"}
    assert mirror.trouble == (
        "s3://bucket/adapters cannot be fetched just now: nothing answers",
    )
    remote.is_away = False
    look(mirror)
    assert not mirror.trouble


def test_one_that_is_refused_holds_up_nobody_and_is_told(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, "one", "1")
    put(remote, "huge", "x" * 2000)
    put(remote, "closed", "2")
    remote.refused.add("adapters/closed")

    look(mirror, 3)

    assert found(directory) == {"one": "1"}
    assert len(mirror.trouble) == 2
    put(remote, "huge", "small")
    look(mirror, 2)
    assert found(directory) == {"one": "1", "huge": "small"}


def test_names_that_are_no_adapters_are_passed_over(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, ".hidden", "1")
    put(remote, "..", "1")
    remote.there["adapters/pictures"] = {"a.png": b"1"}

    look(mirror, 2)

    assert found(directory) == {}
    assert mirror.trouble == ()


def test_a_name_that_cannot_be_linked_is_its_own_trouble(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, "one", "1")
    put(remote, "n" * 300, "1")

    look(mirror, 2)

    assert found(directory) == {"one": "1"}
    assert len(mirror.trouble) == 1


def test_after_a_restart_what_was_there_is_there_without_the_network(
    tmp_path: Path, mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    put(remote, "one", "1")
    look(mirror)
    remote.is_away = True
    again = mirror_on(tmp_path, remote, directory)

    again.start(10)
    try:
        assert found(directory) == {"one": "1"}
        assert again.trouble
        remote.is_away = False
        put(remote, "two", "2")
        wait_until(lambda: set(os.listdir(directory)) == {"one", "two"})
    finally:
        again.stop()
    assert remote.read_of.count("adapters/one/adapter_config.json") == 1


def test_while_it_runs_it_follows(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    for number in range(9):
        put(remote, f"a{number}", "1")
    mirror.start(10)
    try:
        assert len(found(directory)) == 9
        put(remote, "a0", "2")
        wait_until(lambda: found(directory)["a0"] == "2")
        assert mirror.is_alive
    finally:
        mirror.stop()


def test_a_bug_ends_no_mirror(
    mirror: Mirror, remote: MemoryRemote, directory: Path
) -> None:
    remote.there["adapters/one"] = None  # type: ignore[assignment]
    mirror.start(0)
    try:
        remote.there.clear()
        put(remote, "two", "2")
        wait_until(lambda: set(os.listdir(directory)) == {"two"})
    finally:
        mirror.stop()
