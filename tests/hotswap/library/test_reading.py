"""Files are read beside the thread that decides, when they are asked for or found."""

import os
import shutil
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.adapters.files import read_file
from hotswap.adapters.generation import Generation
from hotswap.engine.messages import Refuse
from hotswap.errors import AdapterRefused, Stopping
from hotswap.library import folder_reader
from hotswap.library.entries import Found
from tests.fakes import generation
from tests.hotswap.library.desk import Desk, Slow, fake_read, make, no_descriptor
from tests.servers import wait_until


def test_one_that_is_not_preloaded_is_read_when_the_engine_asks(desk: Desk) -> None:
    key = desk.register("one", "stock/a", preload=False)
    before = desk.told()

    desk.library.fetch("one")
    desk.library.learn("one").result(10)  # after it

    assert (key, before) == (None, [("adopt", "one", None)])
    assert desk.told() == [("adopt", "one", "a")]


def test_whatever_goes_wrong_with_a_fetch_is_told_to_the_engine(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        raise MemoryError("injected")

    desk.register("one", "stock/a", preload=False)
    desk.told()
    monkeypatch.setattr(folder_reader, "fingerprint_of", broken)

    desk.library.fetch("one")

    wait_until(lambda: bool(desk.messages))
    assert desk.told() == [("refuse", "one", "MemoryError: injected")]


def test_a_fetch_of_a_folder_that_has_gone_is_refused_with_the_reason(
    desk: Desk,
) -> None:
    desk.register("one", "stock/a", preload=False)
    shutil.rmtree(desk.directory / "stock" / "a")
    desk.told()

    desk.library.fetch("one")
    desk.library.learn("one").result(10)  # after it

    ((what, name, reason),) = desk.told()
    assert (what, name) == ("refuse", "one")
    assert reason


def test_one_that_cannot_be_read_just_now_stays_as_it_was(desk: Desk) -> None:
    desk.register("one", "stock/a", preload=False)
    desk.told()
    desk.library.stop()
    desk.read = no_descriptor
    desk.open()
    desk.library.fetch("one")
    desk.library.learn("one").result(10)

    assert desk.library.tokenizers == {"one": None}, "it may be read yet"
    messages = [x for x in desk.messages if isinstance(x, Refuse)]
    assert messages
    assert all(message.is_passing for message in messages)


def test_a_slow_folder_holds_up_no_other_name_and_its_own_stays_in_order(
    desk: Desk, slow: Slow
) -> None:
    first = desk.ask("one", "stock/a")
    then = desk.library.unregister("one")
    assert slow.begun.wait(10)

    assert desk.register("two", "stock/b") == "b"
    assert desk.told() == [("adopt", "two", "b")]
    slow.gate.set()
    then.result(10)

    assert first.result(0).generation == "a"
    assert desk.told() == [("adopt", "one", "a"), ("retire", "one", None)]


def test_files_that_change_while_they_are_read_are_not_served(desk: Desk) -> None:
    folder = make(desk.directory / "one", "a")
    desk.library.stop()

    def swapped(folder: Path) -> Generation:
        make(folder, "longer" if folder.name == "one" else "b")
        return generation("a")

    desk.read = swapped
    desk.open()
    found = desk.library.found("one", folder, "1")

    assert found.result(10) is Found.AGAIN
    ((what, _, reason),) = desk.told()
    assert (what, reason) == ("refuse", "its files change while they are read")


def test_what_never_comes_back_fails_alone_and_stops_neither_others_nor_the_end(
    desk: Desk,
) -> None:
    desk.library.stop()
    dead = desk.read = Slow("dead", at_disk=True)
    desk.disk_patience_s = 0.1
    desk.open()
    make(desk.directory / "dead", "a")
    found = [desk.library.found("dead", desk.directory / "dead", n) for n in "12"]

    assert desk.register("one", "stock/b") == "b"
    assert [outcome.result(10) for outcome in found] == [Found.AGAIN] * 2
    wait_until(lambda: "1 adapters' files" in "".join(desk.library.trouble))
    told = desk.told()
    assert ("adopt", "one", "b") in told
    assert any("has not answered" in (reason or "") for _, _, reason in told)
    desk.library.stop()
    assert not desk.library.is_alive
    dead.gate.set()


def test_a_registration_that_never_comes_back_is_an_error_and_changes_nothing(
    desk: Desk,
) -> None:
    desk.library.stop()
    dead = desk.read = Slow("a", at_disk=True)
    desk.disk_patience_s = 0.1
    desk.open()

    with pytest.raises(AdapterRefused, match="has not answered"):
        desk.register("one", "stock/a")

    assert desk.told() == []
    dead.gate.set()


def test_a_pipe_among_its_files_refuses_a_folder_and_the_next_is_read(
    desk: Desk,
) -> None:
    for name in (CONFIG_FILE, "hotswap.toml"):
        folder = make(desk.directory / f"pipe in place of {name}", "a")
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
    desk.library.stop()
    desk.read = partial(strict_read, fake_read)
    desk.open()

    for folder in sorted(desk.directory.glob("pipe*")):
        assert desk.find(folder.name) is False
    assert desk.register("one", "stock/b") == "b"
    assert [what for what, *_ in desk.told()] == ["refuse", "refuse", "adopt"]


def strict_read(read: Callable[[Path], Generation], folder: Path) -> Generation:
    read_file(folder, CONFIG_FILE, 100, code="no_config")
    return read(folder)


def test_what_is_asked_of_a_library_that_has_ended_is_answered(desk: Desk) -> None:
    desk.library.stop()

    with pytest.raises(Stopping):
        desk.register("one", "stock/a")


def test_what_the_end_finds_begun_or_waiting_is_turned_away_and_never_done(
    desk: Desk, slow: Slow
) -> None:
    threads = set(threading.enumerate())
    asked = [desk.ask(name, "stock/a") for name in ("one", "one", "two", "three")]
    assert slow.begun.wait(10)
    desk.library.stop()

    for each in asked:
        with pytest.raises(Stopping):
            each.result(10)
    slow.gate.set()
    wait_until(lambda: set(threading.enumerate()) <= threads)  # its read has ended
    with pytest.raises(Stopping):
        desk.register("four", "stock/b")
    assert desk.told() == []
