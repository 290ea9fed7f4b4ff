"""JsonFormat: a record as one JSON object, for programs that read the log.

The standard library's logging and msgspec, not structlog: the libraries that are served
here (uvicorn, transformers, watchdog) log by the standard one, so its records have to
be written anyway, and msgspec, which is here, encodes one in a microsecond. A library
more would be a second way to say the same.
"""

import logging
import re
import time
from typing import Any

import msgspec

from hotswap.api.shared.request_context import request_id
from hotswap.logs.printable import MOST_OF_EXCEPTION, cut, printable

_ENCODER = msgspec.json.Encoder(enc_hook=str)
# What JSON allows in a string and some reader of lines or some terminal obeys.
_UNSAFE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class JsonFormat(logging.Formatter):
    """Keys: time (UTC), level, logger, message; request_id, exception and the record's
    own `fields` where there are any."""

    def __init__(self) -> None:
        super().__init__()
        self._second = (0, "")  # the last one, and how it is written

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {
            "time": self._time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": cut(record.getMessage()),
        }
        if asked := request_id.get():
            told["request_id"] = asked
        told |= getattr(record, "fields", {})
        if record.exc_info:
            said = self.formatException(record.exc_info)
            told["exception"] = said[-MOST_OF_EXCEPTION:]
        return _encoded(told)

    def _time(self, record: logging.LogRecord) -> str:
        now = int(record.created)
        second, text = self._second
        if second != now:
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
            self._second = (now, text)
        return f"{text}.{int(record.msecs):03d}Z"


def _encoded(told: dict[str, Any]) -> str:
    try:
        text = _ENCODER.encode(told).decode()
    except UnicodeEncodeError:  # half a character, as names of folders may have
        cleaned = {name: printable(str(value)) for name, value in told.items()}
        text = _ENCODER.encode(cleaned).decode()
    if text.isascii() and "\x7f" not in text:
        return text
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
