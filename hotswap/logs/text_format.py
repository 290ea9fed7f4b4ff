"""TextFormat: a record as a line for people, with what belongs to it below.

A record begins at the left margin, with its time; every line that begins with a blank
belongs to the record above it, whatever stands in it.
"""

import logging
import re
import time
from typing import Any

from hotswap.api.shared.request_context import request_id
from hotswap.logs.printable import MOST_OF_EXCEPTION, cut, printable

_MARGIN = "  "
_PLAIN = re.compile(r"[\w./:+@%-]+")


class TextFormat(logging.Formatter):
    """A record's `fields` follow its message, or else its `lines` stand below it."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (0, "")  # the last one, and how it is written

    def formatTime(  # noqa: N802
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """As the library does, but a second is written once: it takes a while."""
        now = int(record.created)
        second, text = self._second
        if second != now:
            text = time.strftime(self.default_time_format, time.localtime(now))
            self._second = (now, text)
        return f"{text},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        at = f"{self.formatTime(record)} {record.levelname} {record.name}"
        text = [at, printable(cut(record.getMessage()))]
        below = list(getattr(record, "lines", ()))
        if not below:
            fields = getattr(record, "fields", {}).items()
            text += [f"{name}={_written(value)}" for name, value in fields]
        if asked := request_id.get():
            text.append(f"request_id={_written(asked)}")
        if record.exc_info:
            said = self.formatException(record.exc_info)
            below += said[-MOST_OF_EXCEPTION:].split("\n")
        return "\n".join(
            [" ".join(text), *(_MARGIN + printable(line) for line in below)]
        )


def _written(value: Any) -> str:
    """A value without blanks, or in quotes."""
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, int):
        return str(value)
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return '"' + printable(text).replace('"', '\\"') + '"'
