"""A record is one line, whatever names and messages from outside hold."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given

from hotswap.api.shared.request_context import request_id
from hotswap.logs.json_format import JsonFormat
from hotswap.logs.printable import MOST
from hotswap.logs.text_format import TextFormat

FORGED = "x\n2026-01-01 00:00:00,000 CRITICAL hotswap it is over"
HOSTILE = [
    FORGED,
    "\x1b[31mred\x1b[0m",
    "a\r\nb\x00c\x7f\x85\u2028\u2029",
    "\u202egnp.exe",
    "\udc80half",
    'quote" back\\slash',
    "",
]
# What ends a line or begins a command to some terminal or reader of files.
CONTROLS = [chr(n) for n in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)]


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    log = logging.getLogger("tests")
    exc_info = extra.pop("exc_info", None)
    return log.makeRecord(
        "tests", logging.INFO, __file__, 1, message, args, exc_info, extra=extra
    )


def raised(message: str) -> Any:
    try:
        raise ValueError(message)
    except ValueError as error:
        return (type(error), error, error.__traceback__)


@contextmanager
def asked_as(name: str) -> Iterator[None]:
    token = request_id.set(name)
    try:
        yield
    finally:
        request_id.reset(token)


def unsafe(line: str) -> list[str]:
    return [each for each in CONTROLS if each in line]


anything = st.text(st.characters(exclude_categories=[]), max_size=40)


@given(anything, anything, anything, anything)
@example(FORGED, FORGED, FORGED, FORGED)
def test_json_is_one_object_on_one_line(
    message: str, value: str, asked: str, error: str
) -> None:
    made = record("%s", message, fields={"name": value}, exc_info=raised(error))

    with asked_as(asked):
        line = JsonFormat().format(made)

    assert not unsafe(line)
    assert len(line.splitlines()) == 1
    told = json.loads(line)
    assert {"time", "level", "logger", "message", "name", "exception"} <= told.keys()
    assert ("request_id" in told) is bool(asked)


@given(anything, anything, anything, anything)
@example(FORGED, FORGED, FORGED, FORGED)
def test_text_is_one_line_and_what_belongs_to_it_is_indented(
    message: str, value: str, asked: str, error: str
) -> None:
    made = record("%s", message, fields={"name": value}, exc_info=raised(error))

    with asked_as(asked):
        first, *below = TextFormat().format(made).split("\n")

    assert not unsafe(first)
    assert all(line.startswith("  ") and not unsafe(line) for line in below)
    assert below[0] == "  Traceback (most recent call last):"


@pytest.mark.parametrize("hostile", HOSTILE, ids=repr)
def test_json_keeps_what_it_is_told(hostile: str) -> None:
    told = json.loads(JsonFormat().format(record("%s", hostile, fields={"n": 1})))

    half = "\\udc80half"  # no JSON could hold it
    assert told["message"] == (half if hostile == "\udc80half" else hostile)
    assert (told["level"], told["logger"]) == ("info", "tests")
    assert told["time"].endswith("Z")


def test_a_message_of_any_length_is_a_line_of_some_length() -> None:
    made = record("%s", "x" * 1_000_000)

    as_json, as_text = JsonFormat().format(made), TextFormat().format(made)

    assert len(as_json) < MOST + 300
    assert len(as_text) < MOST + 300
    assert "(1000000 characters)" in as_json
    assert "(1000000 characters)" in as_text


def test_fields_are_words_behind_the_message_or_members_of_the_object() -> None:
    fields = {"code": 200, "adapter": "two words", "seconds": 0.25, "mode": "merged"}
    made = record("finished", fields=fields)

    with asked_as("r1"):
        as_text, as_json = TextFormat().format(made), JsonFormat().format(made)

    assert as_text.endswith(
        'INFO tests finished code=200 adapter="two words" seconds=0.250 mode=merged '
        "request_id=r1"
    )
    told = json.loads(as_json)
    assert {name: told[name] for name in fields} == fields
    assert told["request_id"] == "r1"


def test_lines_stand_below_in_text_and_their_fields_in_json() -> None:
    made = record("ready", fields={"slots": 2}, lines=["slots  2", "\x1bkv  9"])

    assert TextFormat().format(made).split("\n")[1:] == ["  slots  2", "  \\x1bkv  9"]
    assert json.loads(JsonFormat().format(made))["slots"] == 2


def test_a_value_that_json_has_not_is_written_as_text() -> None:
    told = json.loads(
        JsonFormat().format(record("x", fields={"path": ValueError("v")}))
    )

    assert told["path"] == "v"
