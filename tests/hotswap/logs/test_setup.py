"""Whoever logs, and whoever warns, is written in one form."""

import io
import json
import subprocess
import sys

import pytest

from hotswap.logs import setup

SCRIPT = """
import logging, sys, threading, warnings
from hotswap.logs.setup import set_up
set_up(*sys.argv[1:])
logging.getLogger("uvicorn.error").info("Started server process")
logging.getLogger("a.library").warning("two\\nlines")
warnings.warn("it is old", DeprecationWarning, stacklevel=1)
try:
    raise ValueError("wrong")
except ValueError:
    logging.getLogger("hotswap").exception("it failed")
thread = threading.Thread(target=lambda: 1 / 0, name="worker")
thread.start()
thread.join()
logging.getLogger("hotswap").debug("detail")
"""


def written(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", SCRIPT, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stdout
    return done.stderr.splitlines()


def test_in_json_every_line_is_an_object() -> None:
    told = [json.loads(line) for line in written("json", "info")]

    names = ["uvicorn.error", "a.library", "py.warnings", "hotswap"]
    assert [each["logger"] for each in told] == [*names, "hotswap.logs.setup"]
    assert told[1]["message"] == "two\nlines"
    assert "it is old" in told[2]["message"]
    assert told[3]["exception"].splitlines()[-1] == "ValueError: wrong"
    assert told[4]["exception"].endswith("ZeroDivisionError: division by zero")
    assert (told[3]["level"], told[3]["message"]) == ("error", "it failed")


def test_in_text_every_record_begins_at_the_margin() -> None:
    records = [line for line in written("text", "debug") if line[0] != " "]

    assert len(records) == 6
    assert records[1].endswith("WARNING a.library two\\nlines")
    assert records[-1].endswith("DEBUG hotswap detail")


def test_less_than_the_level_is_not_written() -> None:
    first, second = [each for each in written("text", "error") if each[0] != " "]

    assert "it failed" in first
    assert "a thread has ended name='worker'" in second


@pytest.mark.parametrize("is_terminal", [True, False])
def test_auto_is_text_on_a_terminal_and_json_elsewhere(
    is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)

    assert setup.writes_json("auto") is not is_terminal
    assert setup.writes_json("json")
    assert not setup.writes_json("text")
