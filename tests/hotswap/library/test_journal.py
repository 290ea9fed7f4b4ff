"""What was registered is there after a restart, whatever the disk does meanwhile."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hotswap.api.shared.endpoints import ENDPOINTS_FILE, Endpoints
from hotswap.engine.messages import Adopt
from hotswap.errors import NotKept, StartFailed
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.orders import Update
from tests.hotswap.library.desk import Desk, make, no_descriptor
from tests.servers import wait_until


def test_what_was_registered_comes_back_after_a_restart(desk: Desk) -> None:
    desk.register("one", "stock/a", pin=True, alias="uno")
    desk.register("two", "stock/b", preload=False)
    desk.register("three", "stock/c")
    desk.library.unregister("three").result(10)
    desk.library.stop()

    desk.open()

    adopted = [message for message in desk.messages if isinstance(message, Adopt)]
    first, second = sorted(adopted, key=lambda message: message.name)
    assert (first.origin.pin, first.origin.alias) == (True, "uno")
    assert (second.name, second.generation) == ("two", None)


def test_a_source_that_has_vanished_is_failed_after_a_restart(desk: Desk) -> None:
    desk.register("one", "stock/a")
    desk.library.stop()
    shutil.rmtree(desk.directory / "stock" / "a")

    desk.open()

    ((what, name, reason),) = desk.told()
    assert (what, name) == ("refuse", "one")
    assert reason
    assert "no such folder" in reason
    assert desk.register("one", "stock/b") == "b"


def test_a_registered_one_that_cannot_be_read_at_the_start_is_read_later(
    desk: Desk,
) -> None:
    desk.register("one", "stock/a")
    desk.library.stop()
    desk.read = no_descriptor
    desk.open()
    desk.library.stop()

    assert desk.told() == [("adopt", "one", None)]
    assert (desk.loading, desk.library.is_alive) == (["one"], False)


def to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "content", ["{", '{"one": {"origin": 5}}', '{"one": {"x": 1}}']
)
def test_a_journal_that_cannot_be_read_ends_the_start_with_its_name(
    tmp_path: Path, content: str
) -> None:
    (tmp_path / JOURNAL_FILE).write_text(content)

    with pytest.raises(StartFailed, match=JOURNAL_FILE):
        Journal(tmp_path / JOURNAL_FILE)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, to_device])
def test_a_journal_that_is_no_file_ends_the_start_and_not_in_a_wait(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / JOURNAL_FILE)
    make(tmp_path / ENDPOINTS_FILE)

    with pytest.raises(StartFailed, match="no regular file"):
        Journal(tmp_path / JOURNAL_FILE)
    with pytest.raises(StartFailed, match="no regular file"):
        Endpoints(tmp_path / ENDPOINTS_FILE)


def test_a_journal_is_whole_at_every_moment_of_a_write(tmp_path: Path) -> None:
    """Whatever a crash leaves behind beside it is not the journal."""
    desk = Desk(tmp_path)
    make(tmp_path / "stock" / "a", "a")
    desk.open()
    desk.register("one", "stock/a")
    before = (tmp_path / JOURNAL_FILE).read_bytes()
    (tmp_path / ".partial-left").write_text("{")
    desk.library.stop()

    desk.open()

    assert desk.told() == [("adopt", "one", "a")]
    assert (tmp_path / JOURNAL_FILE).read_bytes() == before
    desk.library.stop()


def test_a_journal_that_cannot_be_written_refuses_the_change(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "adapters")
    make(desk.directory / "stock" / "a", "a")
    desk.open()
    (desk.directory / JOURNAL_FILE).mkdir()  # a rename onto it fails

    with pytest.raises(NotKept, match="journal") as refused:
        desk.register("one", "stock/a")
    assert str(tmp_path) not in str(refused.value)  # it is a client's answer, too

    assert desk.told() == []
    desk.library.stop()


def block(desk: Desk) -> Path:
    """Nothing can be renamed onto it."""
    path = desk.directory / JOURNAL_FILE
    path.unlink(missing_ok=True)
    (path / "x").mkdir(parents=True)
    return path


def test_a_folder_that_goes_goes_though_the_journal_cannot_be_written(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.library.update(Update(name="one", pin=True)).result(10)
    desk.told()
    path = block(desk)

    desk.library.gone("one").result(10)
    make(desk.directory / "two", "b")
    assert desk.find("two") is True

    assert desk.told() == [("retire", "one", None), ("adopt", "two", "b")]
    wait_until(lambda: "journal" in "".join(desk.library.trouble))
    assert sum("cannot be written" in r.message for r in caplog.records) == 1
    with pytest.raises(NotKept):
        desk.register("three", "stock/c")
    shutil.rmtree(path)
    assert desk.register("four", "stock/c") == "c"
    assert desk.library.trouble == ()
    assert Journal(path).notes.keys() == {"four"}


def test_what_was_not_written_is_written_when_it_can_be(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.library.update(Update(name="one", pin=True)).result(10)
    path = block(desk)
    desk.library.gone("one").result(10)

    shutil.rmtree(path)

    wait_until(lambda: path.is_file() and Journal(path).notes == {})
    wait_until(lambda: desk.library.trouble == ())


def test_a_folder_that_goes_takes_nothing_else_of_the_note_with_it(desk: Desk) -> None:
    """What servers that share the journal know a registration by, say."""
    desk.library.stop()
    path = desk.directory / JOURNAL_FILE
    noted = {"origin": {"src": "stock/a"}, "gone": "1", "change": "first"}
    path.write_text(json.dumps({"one": noted}))
    desk.open()

    desk.library.gone("one").result(10)

    left = Journal(path).notes["one"]
    assert (left.gone, left.change) == (None, "first")


def test_a_journal_is_written_anew_where_its_directory_is_made_again(
    desk: Desk,
) -> None:
    desk.register("one", "stock/a")
    path = desk.directory / JOURNAL_FILE
    path.unlink()

    desk.library.moved()

    wait_until(lambda: path.is_file() and Journal(path).notes.keys() == {"one"})
