"""TextFormat: a record as a line for people, with what belongs to it below.

A record begins at the left margin, with its time; every line that begins with a blank
belongs to the record above it, whatever stands in it.
"""

import logging
import re
from typing import Any

from hotswap.api.shared.request_context import request_id
from hotswap.logs.printable import MOST_OF_EXCEPTION, cut, printable

_MARGIN = "  "
_PLAIN = re.compile(r"[\w./:+@%-]+")


class TextFormat(logging.Formatter):
    """A record's `fields` follow its message, or else its `lines` stand below it."""

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
    text = str(value)
    if _PLAIN.fullmatch(text):
        return text
    return '"' + printable(text).replace('"', '\\"') + '"'
