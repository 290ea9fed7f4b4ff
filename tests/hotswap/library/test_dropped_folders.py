"""Folders of the adapters directory come, change and go: the first truth."""

import pytest

from hotswap.engine.messages import Adopt
from hotswap.errors import AdapterExists, StillLoading
from hotswap.library.entries import Found
from hotswap.library.orders import Update
from tests.hotswap.library.desk import Desk, Slow, make


def test_a_dropped_folder_takes_over_a_registered_name(desk: Desk) -> None:
    desk.register("one", "stock/a")
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
        desk.register("one", "stock/b")


def test_a_removed_folder_is_retired_and_a_registered_name_is_not(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.register("two", "stock/b")
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


@pytest.mark.parametrize(
    "change", [Update(name="one", pin=True), Update(name="one", alias="other")]
)
def test_a_folder_whose_name_was_taken_stays_away_whatever_is_asked_for_the_name(
    desk: Desk, change: Update
) -> None:
    make(desk.directory / "one", "b")
    desk.find("one")
    desk.register("one", "stock/a", replace=True)
    desk.library.update(change).result(10)

    desk.library.stop()
    desk.open()
    desk.told()
    desk.find("one")

    assert desk.told() == []


def test_a_pin_on_a_folder_survives_a_restart(desk: Desk) -> None:
    make(desk.directory / "one", "a")
    desk.find("one")
    desk.library.update(Update(name="one", pin=True)).result(10)

    desk.library.stop()
    desk.open()
    desk.find("one")

    (message,) = desk.messages
    assert isinstance(message, Adopt)
    assert message.origin.pin


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
        desk.register("slow", "stock/b")  # it waits for what was there before

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


def test_a_folder_for_which_there_is_no_room_is_looked_at_again(desk: Desk) -> None:
    folder = make(desk.directory / "one", "a")
    desk.library.stop()
    desk.open(max_adapters=1)
    desk.register("two", "stock/b")

    first = desk.library.found("one", folder, "1").result(10)
    desk.library.unregister("two").result(10)

    assert first is Found.AGAIN
    assert desk.find("one")
