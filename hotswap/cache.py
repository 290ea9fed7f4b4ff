"""Cache: the folder where what took long to make lies ready for the next start."""

import json
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)


def cache_dir() -> Path:
    """Where it is: `$XDG_CACHE_HOME/hotswap`, or under the home."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "hotswap"


def recall(kind: str, key: str) -> Any:
    """What was kept under that key, as JSON gives it back; None if nothing is."""
    try:
        return json.loads(_file(kind, key).read_text())
    except (OSError, ValueError):
        return None


def keep(kind: str, key: str, value: Any) -> None:
    """Never fails: what is not kept is made again."""
    file = _file(kind, key)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(prefix=".partial-", dir=file.parent)
        with os.fdopen(handle, "w") as out:
            json.dump(value, out)
        os.replace(partial, file)
    except OSError as error:
        log.warning("%s is not kept: %s", kind, error)


def _file(kind: str, key: str) -> Path:
    return cache_dir() / kind / f"{key}.json"
