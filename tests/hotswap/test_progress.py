"""Whoever waits sees how far it has come."""

import io
import logging

import pytest

from hotswap.model.machine.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_on_a_terminal_one_line_grows_and_is_gone_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    terminal, clock = Terminal(), Clock()

    with (
        caplog.at_level(logging.INFO),
        progress("calibrating", 100, clock, terminal) as tell,
    ):
        for done in range(100):
            clock.now += 0.25
            tell(done)

    written = terminal.getvalue()
    assert "\n" not in written
    assert written.count("\rcalibrating [") == 100
    assert written.count("#") > 30
    assert written.endswith("\r\x1b[K")
    assert not caplog.records


def test_elsewhere_the_log_has_a_line_every_ten_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    file, clock = io.StringIO(), Clock()

    with (
        caplog.at_level(logging.INFO),
        progress("calibrating", 35, clock, file) as tell,
    ):
        for done in range(1, 36):
            clock.now += 1.0
            tell(done)

    told = [record.getMessage() for record in caplog.records]
    assert told == ["calibrating 28 %", "calibrating 57 %", "calibrating 85 %"]
    assert file.getvalue() == ""
