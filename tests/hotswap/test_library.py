"""Names, sources and the journal: checked first, then kept, then told to the engine."""

import dataclasses
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest

from hotswap.adapters.checkpoint import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.deltas import Generation
from hotswap.adapters.files import read_file
from hotswap.adapters.origin import Origin
from hotswap.api.endpoints import ENDPOINTS_FILE, Endpoints
from hotswap.engine.letters import Adopt, Amend, Letter, Loading, Refuse, Retire
from hotswap.errand import at_disk
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    GenerationMismatch,
    NoRoom,
    NotKept,
    SourceForbidden,
    SourceUnsupported,
    StartFailed,
    StillLoading,
    Stopping,
    UnknownAdapter,
    Vetoed,
)
from hotswap.library import reader
from hotswap.library.catalogue import Catalogue
from hotswap.library.entries import Found
from hotswap.library.hooks import Hooks
from hotswap.library.journal import JOURNAL_FILE, Journal
from hotswap.library.library import Library
from hotswap.library.sources import Sources
from tests.fakes import LoudTokenizer, generation
from tests.servers import wait_until

LOUD = "l"  # a generation that brings its own tokenizer
Start = Callable[..., Library]


def fake_read(folder: Path) -> Generation:
    """The generation whose key is the content of the weights file."""
    key = (folder / WEIGHTS_FILE).read_text()
    if key == "broken":
        raise AdapterRefused("bad_weights", f"{WEIGHTS_FILE} is broken")
    if key == "strange":
        raise RecursionError("deep")
    tokenizer = LoudTokenizer() if key == LOUD else None
    return dataclasses.replace(generation(key), tokenizer=tokenizer)


def make(folder: Path, key: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CONFIG_FILE).write_text("{}")
    (folder / WEIGHTS_FILE).write_text(key)
    return folder


class Desk:
    """A library on a directory, and the letters it wrote."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.letters: list[Letter] = []  # but for Loading
        self.loading: list[str] = []  # names
        self.patience_s = 15.0
        self.read = fake_read
        self.library: Library

    def post(self, letter: Letter) -> None:
        if isinstance(letter, Loading):
            self.loading.append(letter.name)
        else:
            self.letters.append(letter)

    def open(self, hooks: Hooks | None = None, **limits: int) -> Library:
        """Start it, as after a crash: nothing is left of the one before."""
        self.letters.clear()
        self.library = Library(patience_s=self.patience_s)
        self.library.open(
            Catalogue(
                self.read,
                self.post,
                sources=Sources([self.directory]),
                journal=Journal(self.directory / JOURNAL_FILE),
                hooks=hooks or Hooks(),
                max_adapters=limits.get("max_adapters", 100),
                max_pinned=limits.get("max_pinned"),
            )
        )
        self.library.start()
        return self.library

    def told(self) -> list[tuple[str, str, str | None]]:
        """What the engine was told since the last look."""
        said: list[tuple[str, str, str | None]] = []
        for letter in self.letters:
            match letter:
                case Adopt(name, found, _):
                    said.append(("adopt", name, found.key if found else None))
                case Amend(name, _):
                    said.append(("amend", name, None))
                case Refuse(name, reason, _):
                    said.append(("refuse", name, reason))
                case Retire(name):
                    said.append(("retire", name, None))
        self.letters.clear()
        return said

    def find(self, name: str, stamp: str = "1") -> bool:
        found = self.library.found(name, self.directory / name, stamp)
        return found.result(10) is Found.GOOD


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "adapters")
    for key in ("a", "b", "c", LOUD):
        make(desk.directory / "stock" / key, key)
    desk.open()
    yield desk
    desk.library.stop()


def register(desk: Desk, name: str, src: str, **asked: object) -> str | None:
    origin = Origin(src=src, **asked)  # type: ignore[arg-type]
    return desk.library.register(name, origin).result(10)


def test_a_registered_folder_is_told_to_the_engine_before_the_client_hears(
    desk: Desk,
) -> None:
    key = register(desk, "one", "stock/a")

    assert key == "a"
    assert desk.told() == [("adopt", "one", "a")]


def test_one_that_is_not_preloaded_is_read_when_the_engine_asks(desk: Desk) -> None:
    key = register(desk, "one", "stock/a", preload=False)
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

    register(desk, "one", "stock/a", preload=False)
    desk.told()
    monkeypatch.setattr(reader, "look", broken)

    desk.library.fetch("one")

    wait_until(lambda: bool(desk.letters))
    assert desk.told() == [("refuse", "one", "MemoryError: injected")]


def test_a_fetch_of_a_folder_that_has_gone_is_refused_with_the_reason(
    desk: Desk,
) -> None:
    register(desk, "one", "stock/a", preload=False)
    shutil.rmtree(desk.directory / "stock" / "a")
    desk.told()

    desk.library.fetch("one")
    desk.library.learn("one").result(10)  # after it

    ((what, name, reason),) = desk.told()
    assert (what, name) == ("refuse", "one")
    assert reason


def test_a_taken_name_is_refused_and_nothing_changes(desk: Desk) -> None:
    register(desk, "one", "stock/a")
    desk.told()

    with pytest.raises(AdapterExists, match="one already exists"):
        register(desk, "one", "stock/b")

    assert desk.told() == []
    register(desk, "two", "stock/a")


def test_a_name_may_be_taken_over_when_that_is_asked_for(desk: Desk) -> None:
    register(desk, "one", "stock/a")

    key = desk.library.register("one", Origin(src="stock/b"), replace=True).result(10)

    assert key == "b"
    assert desk.told() == [("adopt", "one", "a"), ("adopt", "one", "b")]


@pytest.mark.parametrize(("expected", "is_right"), [("a", True), ("b", False), ("", 0)])
def test_a_load_that_expects_another_generation_changes_nothing(
    desk: Desk, expected: str, is_right: bool
) -> None:
    register(desk, "one", "stock/a")
    desk.told()

    asked = desk.library.register(
        "one", Origin(src="stock/c"), replace=True, expected=expected
    )

    if is_right:
        assert asked.result(10) == "c"
    else:
        with pytest.raises(GenerationMismatch):
            asked.result(10)
        assert desk.told() == []


def test_expecting_nothing_is_right_for_a_new_name(desk: Desk) -> None:
    asked = desk.library.register("one", Origin(src="stock/a"), expected="")

    assert asked.result(10) == "a"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("", "empty"),
        ("a/b", "path segment"),
        ("..", "path segment"),
        (".hidden", "path segment"),
        ("line\nbreak", "path segment"),
        ("x" * 129, "129 characters"),
    ],
)
def test_a_name_that_cannot_be_is_refused(desk: Desk, name: str, found: str) -> None:
    with pytest.raises(BadRequest, match=found):
        register(desk, name, "stock/a")

    assert desk.told() == []


@pytest.mark.parametrize(
    "src", ["s3://bucket/a", "https://host/a", "file:///etc", "hf://org/a"]
)
def test_a_url_is_no_source(desk: Desk, src: str) -> None:
    with pytest.raises(SourceUnsupported):
        register(desk, "one", src)


@pytest.mark.parametrize(
    "src", ["../outside", "/etc", "stock/../../outside", "leak", "//[half", "a\0b"]
)
def test_a_folder_outside_the_roots_is_forbidden(desk: Desk, src: str) -> None:
    make(desk.directory.parent / "outside", "a")
    (desk.directory / "leak").symlink_to(desk.directory.parent / "outside")

    with pytest.raises(SourceForbidden):
        register(desk, "one", src)

    assert desk.told() == []


def test_a_file_that_is_a_link_out_of_the_roots_is_forbidden(desk: Desk) -> None:
    secret = desk.directory.parent / "secret"
    secret.write_text("a")
    folder = make(desk.directory / "sly", "a")
    (folder / WEIGHTS_FILE).unlink()
    (folder / WEIGHTS_FILE).symlink_to(secret)

    with pytest.raises(SourceForbidden):
        register(desk, "one", "sly")
    assert desk.find("sly") is False
    assert desk.told()[0][:2] == ("refuse", "sly")


def test_a_broken_folder_is_refused_and_the_name_stays_free(desk: Desk) -> None:
    make(desk.directory / "bad", "broken")

    with pytest.raises(AdapterRefused):
        register(desk, "one", "bad")

    assert desk.told() == []
    assert register(desk, "one", "stock/a") == "a"


def test_whatever_a_reader_raises_is_a_refusal(desk: Desk) -> None:
    make(desk.directory / "odd", "strange")

    with pytest.raises(AdapterRefused, match="RecursionError: deep"):
        register(desk, "one", "odd")


def test_an_unregistered_name_is_gone_and_unknown(desk: Desk) -> None:
    register(desk, "one", "stock/a")
    desk.library.unregister("one").result(10)

    assert desk.told() == [("adopt", "one", "a"), ("retire", "one", None)]
    with pytest.raises(UnknownAdapter):
        desk.library.unregister("one").result(10)


def test_settings_are_changed_without_a_read(desk: Desk) -> None:
    register(desk, "one", "stock/a")
    desk.library.update("one", pin=True, options={"team": "x"}).result(10)

    adopted, amended = desk.letters
    assert isinstance(adopted, Adopt)
    assert isinstance(amended, Amend)
    assert (adopted.origin.pin, amended.origin.pin) == (False, True)
    assert amended.origin.options == {"team": "x"}
    with pytest.raises(BadRequest, match="path is not supported"):
        desk.library.update("one", src="stock/b").result(10)


def test_preloading_later_reads_it(desk: Desk) -> None:
    register(desk, "one", "stock/a", preload=False)
    desk.library.update("one", preload=True).result(10)

    assert desk.told() == [("adopt", "one", None), ("adopt", "one", "a")]


def test_limits_on_number_and_pins_leave_everything_as_it_was(desk: Desk) -> None:
    desk.library.stop()
    desk.open(max_adapters=2, max_pinned=1)
    register(desk, "one", "stock/a", pin=True)

    with pytest.raises(NoRoom, match="1 adapters are pinned"):
        register(desk, "two", "stock/b", pin=True)
    register(desk, "two", "stock/b")
    with pytest.raises(NoRoom, match="2 adapters are registered"):
        register(desk, "three", "stock/c")
    with pytest.raises(NoRoom):
        desk.library.update("two", pin=True).result(10)
    with pytest.raises(BadRequest, match="preload"):
        desk.library.update("one", preload=False).result(10)

    assert [each[1] for each in desk.told()] == ["one", "two"]


def test_a_hook_can_veto_and_then_nothing_has_changed(desk: Desk) -> None:
    def register_adapter(name: str, **_: object) -> None:
        if name == "evil":
            raise ValueError("not in my house")

    desk.library.stop()
    desk.open(hooks=Hooks({"register_adapter": register_adapter}))

    with pytest.raises(Vetoed, match="not in my house"):
        register(desk, "evil", "stock/a")
    make(desk.directory / "evil", "a")
    assert desk.find("evil") is False

    assert desk.told() == [("refuse", "evil", "not in my house")]
    assert not (desk.directory / JOURNAL_FILE).exists()


# --- the watched directory --------------------------------------------------------


def test_a_dropped_folder_takes_over_a_registered_name(desk: Desk) -> None:
    register(desk, "one", "stock/a")
    make(desk.directory / "one", "b")

    assert desk.find("one") is True

    assert desk.told()[-1] == ("adopt", "one", "b")
    desk.library.stop()
    desk.open()
    assert desk.told() == []  # the watcher will tell


def test_a_broken_change_keeps_what_was_there_and_is_told(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    make(desk.directory / "one", "broken")

    assert desk.find("one", "2") is False

    assert [each[0] for each in desk.told()] == ["adopt", "refuse"]
    with pytest.raises(AdapterExists):
        register(desk, "one", "stock/b")


def test_a_removed_folder_is_retired_and_a_registered_name_is_not(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    register(desk, "two", "stock/b")
    desk.told()

    desk.library.gone("one").result(10)
    desk.library.gone("two").result(10)

    assert desk.told() == [("retire", "one", None)]


def test_an_unregistered_folder_stays_away_until_its_files_change(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.library.unregister("one").result(10)
    desk.told()

    desk.find("one")
    desk.library.stop()
    desk.open()
    desk.find("one")
    assert desk.told() == []

    desk.find("one", "2")
    assert desk.told() == [("adopt", "one", "a")]


def test_a_pin_on_a_folder_survives_a_restart(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.library.update("one", pin=True).result(10)

    desk.library.stop()
    desk.open()
    desk.find("one")

    (letter,) = desk.letters
    assert isinstance(letter, Adopt)
    assert letter.origin.pin


# --- restarts ---------------------------------------------------------------------


def test_what_was_registered_comes_back_after_a_restart(desk: Desk) -> None:
    register(desk, "one", "stock/a", pin=True, alias="uno")
    register(desk, "two", "stock/b", preload=False)
    register(desk, "three", "stock/c")
    desk.library.unregister("three").result(10)
    desk.library.stop()

    desk.open()

    adopted = [letter for letter in desk.letters if isinstance(letter, Adopt)]
    first, second = sorted(adopted, key=lambda letter: letter.name)
    assert (first.origin.pin, first.origin.alias) == (True, "uno")
    assert (second.name, second.generation) == ("two", None)


def test_a_source_that_has_vanished_is_failed_after_a_restart(desk: Desk) -> None:
    register(desk, "one", "stock/a")
    desk.library.stop()
    shutil.rmtree(desk.directory / "stock" / "a")

    desk.open()

    ((what, name, reason),) = desk.told()
    assert (what, name) == ("refuse", "one")
    assert reason
    assert "no such folder" in reason
    assert register(desk, "one", "stock/b") == "b"


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
    register(desk, "one", "stock/a")
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
        register(desk, "one", "stock/a")
    assert str(tmp_path) not in str(refused.value)  # it is a client's answer, too

    assert desk.told() == []
    desk.library.stop()


# --- tokenizers -------------------------------------------------------------------


def test_what_prompts_are_encoded_with_is_known_when_the_change_is_answered(
    desk: Desk,
) -> None:
    register(desk, "one", "stock/a")
    assert desk.library.tokenizers == {}

    register(desk, "two", f"stock/{LOUD}", preload=False)
    assert desk.library.tokenizers == {"two": None}
    for _ in range(2):
        desk.library.learn("two").result(10)

    assert isinstance(desk.library.tokenizers["two"], LoudTokenizer)
    read = [letter.generation for letter in desk.letters if isinstance(letter, Adopt)]
    assert [g.key if g else None for g in read] == ["a", None, LOUD]
    desk.library.unregister("two").result(10)
    assert desk.library.tokenizers == {}


def test_an_old_generation_that_serves_on_keeps_its_tokenizer(desk: Desk) -> None:
    folder = make(desk.directory / "one", LOUD)
    desk.find("one")
    loud = desk.library.tokenizers["one"]
    assert loud is not None

    make(folder, "broken")
    desk.find("one", "2")
    assert desk.library.tokenizers == {"one": loud}
    make(folder, "a")
    desk.find("one", "3")

    assert desk.library.tokenizers == {}


def test_an_unread_adapter_that_turns_out_broken_is_refused_and_not_read_again(
    desk: Desk,
) -> None:
    make(desk.directory / "stock" / "broken", "broken")
    register(desk, "one", "stock/broken", preload=False)

    for _ in range(2):
        desk.library.learn("one").result(10)

    assert [what for what, *_ in desk.told()] == ["adopt", "refuse"]
    assert desk.library.tokenizers == {}


# --- sidecars ---------------------------------------------------------------------


def test_aliases_lead_to_the_adapter_unless_a_real_one_has_the_name(desk: Desk) -> None:
    folder = make(desk.directory / "one", "a")
    (folder / "hotswap.toml").write_text('aliases = ["uno", "two"]\nscale = 2.0\n')
    desk.find("one")
    register(desk, "two", "stock/b")

    assert desk.library.aliases == {"uno": "one"}
    assert desk.library.sidecars["one"].scale == 2.0
    desk.library.unregister("two").result(10)
    assert desk.library.aliases == {"uno": "one", "two": "one"}
    desk.library.gone("one").result(10)
    assert desk.library.aliases == {}


def test_an_alias_that_two_adapters_claim_leads_to_neither(desk: Desk) -> None:
    for name in ("one", "two"):
        folder = make(desk.directory / name, "a")
        (folder / "hotswap.toml").write_text('aliases = ["uno"]\n')
        desk.find(name)

    assert desk.library.aliases == {}
    desk.library.gone("two").result(10)
    assert desk.library.aliases == {"uno": "one"}


# --- read beside the thread that decides --------------------------------------------


class Slow:
    """A reader whose read of a key waits for the test; `at_disk`: for the disk."""

    def __init__(self, *keys: str, at_disk: bool = False) -> None:
        self._keys = keys
        self._at_disk = at_disk
        self.gate = threading.Event()
        self.begun = threading.Event()

    def __call__(self, folder: Path) -> Generation:
        if folder.name in self._keys:
            self.begun.set()
            with at_disk() if self._at_disk else nullcontext():
                assert self.gate.wait(20), "the test forgot a read"
        return fake_read(folder)


@pytest.fixture
def slow(desk: Desk) -> Iterator[Slow]:
    """It reads `a` slowly."""
    desk.library.stop()
    slow = desk.read = Slow("a", "slow")
    desk.open()
    yield slow
    slow.gate.set()


def test_a_slow_folder_holds_up_no_other_name_and_its_own_stays_in_order(
    desk: Desk, slow: Slow
) -> None:
    first = desk.library.register("one", Origin(src="stock/a"))
    then = desk.library.unregister("one")
    assert slow.begun.wait(10)

    assert register(desk, "two", "stock/b") == "b"
    assert desk.told() == [("adopt", "two", "b")]
    slow.gate.set()
    then.result(10)

    assert first.result(0) == "a"
    assert desk.told() == [("adopt", "one", "a"), ("retire", "one", None)]


def test_a_folder_is_loading_from_when_it_is_seen_until_it_is_read(
    desk: Desk, slow: Slow
) -> None:
    make(desk.directory / "slow", "a")
    desk.library.seen("slow", desk.directory / "slow")
    found = desk.library.found("slow", desk.directory / "slow", "1")
    assert slow.begun.wait(10)

    assert set(desk.loading) == {"slow"}
    slow.gate.set()
    with pytest.raises(AdapterExists):
        register(desk, "slow", "stock/b")  # it waits for what was there before

    assert found.result(10) is Found.GOOD


def test_a_folder_that_is_seen_and_goes_is_forgotten_and_cannot_be_unregistered(
    desk: Desk,
) -> None:
    desk.library.seen("one", desk.directory / "one")
    with pytest.raises(StillLoading):
        desk.library.unregister("one").result(10)
    desk.library.gone("one").result(10)
    desk.library.gone("two").result(10)

    assert desk.told() == [("retire", "one", None)]


def test_a_folder_that_stays_away_is_not_left_as_loading(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.library.unregister("one").result(10)
    desk.library.stop()
    desk.open()

    desk.library.seen("one", desk.directory / "one")
    desk.find("one")

    assert (desk.loading[-1], desk.told()) == ("one", [("retire", "one", None)])


def test_two_that_are_read_at_once_do_not_both_take_the_last_place(
    desk: Desk, slow: Slow
) -> None:
    desk.library.stop()
    desk.open(max_adapters=1)
    first = desk.library.register("one", Origin(src="stock/a"))
    assert slow.begun.wait(10)
    register(desk, "two", "stock/b")
    slow.gate.set()

    with pytest.raises(NoRoom):
        first.result(10)

    assert desk.told() == [("adopt", "two", "b")]


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
    desk.patience_s = 0.1
    desk.open()
    make(desk.directory / "dead", "a")
    found = [desk.library.found("dead", desk.directory / "dead", n) for n in "12"]

    assert register(desk, "one", "stock/b") == "b"
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
    desk.patience_s = 0.1
    desk.open()

    with pytest.raises(AdapterRefused, match="has not answered"):
        register(desk, "one", "stock/a")

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
    assert register(desk, "one", "stock/b") == "b"
    assert [what for what, *_ in desk.told()] == ["refuse", "refuse", "adopt"]


def strict_read(read: Callable[[Path], Generation], folder: Path) -> Generation:
    read_file(folder, CONFIG_FILE, 100, code="no_config")
    return read(folder)


def test_what_is_asked_of_a_library_that_has_ended_is_answered(desk: Desk) -> None:
    desk.library.stop()

    with pytest.raises(Stopping):
        register(desk, "one", "stock/a")


def test_what_the_end_finds_begun_or_waiting_is_turned_away_and_never_done(
    desk: Desk, slow: Slow
) -> None:
    asked = [
        desk.library.register(name, Origin(src="stock/a"))
        for name in ("one", "one", "two", "three")
    ]
    assert slow.begun.wait(10)
    desk.library.stop()

    for each in asked:
        with pytest.raises(Stopping):
            each.result(10)
    slow.gate.set()
    lines = desk.library._lines
    wait_until(lambda: not lines._work.empty())  # it says that it was read
    with pytest.raises(Stopping):
        register(desk, "four", "stock/b")
    assert desk.told() == []


def test_one_that_cannot_be_read_just_now_stays_as_it_was(desk: Desk) -> None:
    register(desk, "one", "stock/a", preload=False)
    desk.told()
    desk.library.stop()

    def no_descriptor(folder: Path) -> Generation:
        raise AdapterRefused("no_weights", "too many open files", is_passing=True)

    desk.read = no_descriptor
    desk.open()
    desk.library.fetch("one")
    desk.library.learn("one").result(10)

    assert desk.library.tokenizers == {"one": None}, "it may be read yet"
    letters = [x for x in desk.letters if isinstance(x, Refuse)]
    assert letters
    assert all(letter.is_passing for letter in letters)


def test_a_registered_one_that_cannot_be_read_at_the_start_is_read_later(
    desk: Desk,
) -> None:
    register(desk, "one", "stock/a")
    desk.library.stop()

    def no_descriptor(folder: Path) -> Generation:
        raise AdapterRefused("no_weights", "too many open files", is_passing=True)

    desk.read = no_descriptor
    desk.open()
    desk.library.stop()

    assert desk.told() == [("adopt", "one", None)]
    assert (desk.loading, desk.library.is_alive) == (["one"], False)


def test_warnings_are_in_the_log_once_when_an_adapter_is_found(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.library.stop()
    desk.read = lambda folder: dataclasses.replace(
        fake_read(folder), warnings=("it was trained on 'x'", "it has odd settings")
    )
    desk.open()

    register(desk, "one", "stock/a")

    (line,) = [r.message for r in caplog.records if "odd settings" in r.message]
    assert line == "adapter name='one': it was trained on 'x'; it has odd settings"


def test_a_refusal_for_its_place_names_the_setting(desk: Desk) -> None:
    with pytest.raises(SourceForbidden, match=r"`roots` under \[adapters\]"):
        register(desk, "one", "/etc")


def test_a_root_whose_link_is_flipped_is_followed(tmp_path: Path) -> None:
    for release in "12":
        make(tmp_path / release / "one", "a")
    (tmp_path / "now").symlink_to("1")
    sources = Sources([tmp_path / "now"])
    sources.check(tmp_path / "now" / "one", "one")

    (tmp_path / "flip").symlink_to("2")
    os.replace(tmp_path / "flip", tmp_path / "now")

    sources.check(tmp_path / "now" / "one", "one")
    with pytest.raises(SourceForbidden):
        sources.check(tmp_path / "1" / "one", "one")


# --- a journal that cannot be written -----------------------------------------------


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
    desk.library.update("one", pin=True).result(10)
    desk.told()
    path = block(desk)

    desk.library.gone("one").result(10)
    make(desk.directory / "two", "b")
    assert desk.find("two") is True

    assert desk.told() == [("retire", "one", None), ("adopt", "two", "b")]
    wait_until(lambda: "journal" in "".join(desk.library.trouble))
    assert sum("cannot be written" in r.message for r in caplog.records) == 1
    with pytest.raises(NotKept):
        register(desk, "three", "stock/c")
    shutil.rmtree(path)
    assert register(desk, "four", "stock/c") == "c"
    assert desk.library.trouble == ()
    assert Journal(path).notes.keys() == {"four"}


def test_what_was_not_written_is_written_when_it_can_be(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.library.update("one", pin=True).result(10)
    path = block(desk)
    desk.library.gone("one").result(10)

    shutil.rmtree(path)

    wait_until(lambda: path.is_file() and Journal(path).notes == {})
    wait_until(lambda: desk.library.trouble == ())


def test_a_journal_is_written_anew_where_its_directory_is_made_again(
    desk: Desk,
) -> None:
    register(desk, "one", "stock/a")
    path = desk.directory / JOURNAL_FILE
    path.unlink()

    desk.library.moved()

    wait_until(lambda: path.is_file() and Journal(path).notes.keys() == {"one"})


def test_a_folder_for_which_there_is_no_room_is_looked_at_again(desk: Desk) -> None:
    folder = make(desk.directory / "one", "a")
    desk.library.stop()
    desk.open(max_adapters=1)
    register(desk, "two", "stock/b")

    first = desk.library.found("one", folder, "1").result(10)
    desk.library.unregister("two").result(10)

    assert first is Found.AGAIN
    assert desk.find("one")
