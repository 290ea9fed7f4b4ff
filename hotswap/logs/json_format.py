"""JsonFormat: a record as one JSON object, for programs that read the log.

The standard library's logging and msgspec, not structlog: the libraries that are served
here (uvicorn, transformers, watchdog) log by the standard one, so its records have to
be written anyway, and msgspec, which is here, encodes one in a microsecond. A library
more would be a second way to say the same.
"""

import logging
import re
from datetime import UTC, datetime
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

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC)
        told: dict[str, Any] = {
            "time": time.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
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


def _encoded(told: dict[str, Any]) -> str:
    try:
        text = _ENCODER.encode(told).decode()
    except UnicodeEncodeError:  # half a character, as names of folders may have
        cleaned = {name: printable(str(value)) for name, value in told.items()}
        text = _ENCODER.encode(cleaned).decode()
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
