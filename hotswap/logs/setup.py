"""Setup: how log records are written, once at the start.

Everything goes to standard error by the root logger: uvicorn's records, those of other
libraries, and Python's warnings, too.
"""

import logging
import sys
import threading

from hotswap.log_options import LogFormat, LogLevel
from hotswap.logs.json_format import JsonFormat
from hotswap.logs.text_format import TextFormat

log = logging.getLogger(__name__)


def set_up(form: LogFormat = "text", level: LogLevel = "info") -> None:
    """For this process; a second call takes the place of the first."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormat() if writes_json(form) else TextFormat())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(True)
    threading.excepthook = _thread_ended
    # Nobody writes them, and to look for them takes half of what a record costs.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def _thread_ended(told: threading.ExceptHookArgs) -> None:
    """By what nobody caught. The library would write it as it is."""
    if told.exc_type is not SystemExit and told.exc_value is not None:
        name = told.thread.name if told.thread else "unknown"
        log.critical("a thread has ended name=%r", name, exc_info=told.exc_value)


def writes_json(form: LogFormat) -> bool:
    return form == "json" or (form == "auto" and not sys.stderr.isatty())
