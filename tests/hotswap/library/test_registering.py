"""What clients register: checked first, then kept, then told to the engine."""

import dataclasses

import pytest

from hotswap.engine.messages import Adopt, Amend
from hotswap.errors import (
    AdapterExists,
    AdapterRefused,
    BadRequest,
    GenerationMismatch,
    NoRoom,
    UnknownAdapter,
    Vetoed,
)
from hotswap.library.hooks import Hooks
from hotswap.library.journal import JOURNAL_FILE
from hotswap.library.orders import Update
from tests.hotswap.library.desk import Desk, Slow, fake_read, make


def test_a_registered_folder_is_told_to_the_engine_before_the_client_hears(
    desk: Desk,
) -> None:
    key = desk.register("one", "stock/a")

    assert key == "a"
    assert desk.told() == [("adopt", "one", "a")]


def test_a_taken_name_is_refused_and_nothing_changes(desk: Desk) -> None:
    desk.register("one", "stock/a")
    desk.told()

    with pytest.raises(AdapterExists, match="one already exists"):
        desk.register("one", "stock/b")

    assert desk.told() == []
    desk.register("two", "stock/a")


def test_a_name_may_be_taken_over_when_that_is_asked_for(desk: Desk) -> None:
    desk.register("one", "stock/a")

    key = desk.register("one", "stock/b", replace=True)

    assert key == "b"
    assert desk.told() == [("adopt", "one", "a"), ("adopt", "one", "b")]


@pytest.mark.parametrize(("expected", "is_right"), [("a", True), ("b", False), ("", 0)])
def test_a_load_that_expects_another_generation_changes_nothing(
    desk: Desk, expected: str, is_right: bool
) -> None:
    desk.register("one", "stock/a")
    desk.told()

    asked = desk.ask("one", "stock/c", replace=True, expected=expected)

    if is_right:
        assert asked.result(10).generation == "c"
    else:
        with pytest.raises(GenerationMismatch):
            asked.result(10)
        assert desk.told() == []


def test_expecting_nothing_is_right_for_a_new_name(desk: Desk) -> None:
    asked = desk.ask("one", "stock/a", expected="")

    assert asked.result(10).generation == "a"


def test_a_broken_folder_is_refused_and_the_name_stays_free(desk: Desk) -> None:
    make(desk.directory / "bad", "broken")

    with pytest.raises(AdapterRefused):
        desk.register("one", "bad")

    assert desk.told() == []
    assert desk.register("one", "stock/a") == "a"


def test_whatever_a_reader_raises_is_a_refusal(desk: Desk) -> None:
    make(desk.directory / "odd", "strange")

    with pytest.raises(AdapterRefused, match="RecursionError: deep"):
        desk.register("one", "odd")


def test_an_unregistered_name_is_gone_and_unknown(desk: Desk) -> None:
    desk.register("one", "stock/a")
    desk.library.unregister("one").result(10)

    assert desk.told() == [("adopt", "one", "a"), ("retire", "one", None)]
    with pytest.raises(UnknownAdapter):
        desk.library.unregister("one").result(10)


def test_settings_are_changed_without_a_read(desk: Desk) -> None:
    desk.register("one", "stock/a")
    desk.library.update(Update(name="one", pin=True, options={"team": "x"})).result(10)

    adopted, amended = desk.messages
    assert isinstance(adopted, Adopt)
    assert isinstance(amended, Amend)
    assert (adopted.origin.pin, amended.origin.pin) == (False, True)
    assert amended.origin.options == {"team": "x"}
    with pytest.raises(BadRequest, match="path is not supported"):
        desk.library.update(Update(name="one", src="stock/b")).result(10)


def test_preloading_later_reads_it(desk: Desk) -> None:
    desk.register("one", "stock/a", preload=False)
    desk.library.update(Update(name="one", preload=True)).result(10)

    assert desk.told() == [("adopt", "one", None), ("adopt", "one", "a")]


def test_limits_on_number_and_pins_leave_everything_as_it_was(desk: Desk) -> None:
    desk.library.stop()
    desk.open(max_adapters=2, max_pinned=1)
    desk.register("one", "stock/a", pin=True)

    with pytest.raises(NoRoom, match="1 adapters are pinned"):
        desk.register("two", "stock/b", pin=True)
    desk.register("two", "stock/b")
    with pytest.raises(NoRoom, match="2 adapters are registered"):
        desk.register("three", "stock/c")
    with pytest.raises(NoRoom):
        desk.library.update(Update(name="two", pin=True)).result(10)
    with pytest.raises(BadRequest, match="preload"):
        desk.library.update(Update(name="one", preload=False)).result(10)

    assert [each[1] for each in desk.told()] == ["one", "two"]


def test_two_that_are_read_at_once_do_not_both_take_the_last_place(
    desk: Desk, slow: Slow
) -> None:
    desk.library.stop()
    desk.open(max_adapters=1)
    first = desk.ask("one", "stock/a")
    assert slow.begun.wait(10)
    desk.register("two", "stock/b")
    slow.gate.set()

    with pytest.raises(NoRoom):
        first.result(10)

    assert desk.told() == [("adopt", "two", "b")]


def test_a_hook_can_veto_and_then_nothing_has_changed(desk: Desk) -> None:
    def register_adapter(name: str, **_: object) -> None:
        if name == "evil":
            raise ValueError("not in my house")

    desk.library.stop()
    desk.open(hooks=Hooks({"register_adapter": register_adapter}))

    with pytest.raises(Vetoed, match="not in my house"):
        desk.register("evil", "stock/a")
    make(desk.directory / "evil", "a")
    assert desk.find("evil") is False

    assert desk.told() == [("refuse", "evil", "not in my house")]
    assert not (desk.directory / JOURNAL_FILE).exists()


def test_warnings_are_in_the_log_once_when_an_adapter_is_found(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.library.stop()
    desk.read = lambda folder: dataclasses.replace(
        fake_read(folder), warnings=("it was trained on 'x'", "it has odd settings")
    )
    desk.open()

    desk.register("one", "stock/a")

    (line,) = [r.message for r in caplog.records if "odd settings" in r.message]
    assert line == "adapter name='one': it was trained on 'x'; it has odd settings"
