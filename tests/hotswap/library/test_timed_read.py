"""How long reads of folders take is noted, of those that found an adapter."""

from pathlib import Path

import pytest

from hotswap.errors import AdapterRefused
from hotswap.library.timed_read import TimedRead
from tests.fakes import generation


def test_a_read_is_timed_and_its_generation_handed_on() -> None:
    made = generation("a")
    read = TimedRead(lambda folder: made)

    assert read(Path("a")) is made
    assert read(Path("b")) is made
    assert read.seconds.count == 2
    assert 0 <= read.seconds.sum < 1


def test_a_read_that_finds_nothing_is_not_timed() -> None:
    def refuse(folder: Path) -> None:
        raise AdapterRefused("bad_weights", "broken")

    read = TimedRead(refuse)  # type: ignore[arg-type]  # it returns nothing at all
    with pytest.raises(AdapterRefused):
        read(Path("a"))

    assert read.seconds.count == 0
