"""Folder: an adapter's files as a generation without tensors.

Checked as far as that goes without a model: the configuration says what it is, and the
weights are there. Any change of a file is another generation, as everywhere.
"""

import hashlib
import json
from pathlib import Path

from hotswap.adapters.file_names import CONFIG_FILE, WEIGHTS_FILE
from hotswap.adapters.files import read_file
from hotswap.adapters.generation import Generation
from hotswap.adapters.sidecar import SIDECAR_FILE
from hotswap.errors import AdapterRefused

_MOST_BYTES = 1 << 30


def read(folder: Path) -> Generation:
    """Raises AdapterRefused."""
    files = {
        name: read_file(folder, name, _MOST_BYTES, code="too_large")
        for name in (CONFIG_FILE, WEIGHTS_FILE, SIDECAR_FILE)
    }
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if files[name] is None:
            raise AdapterRefused("missing_file", f"{name} is missing")
    try:
        said = json.loads(files[CONFIG_FILE] or b"")
    except (ValueError, RecursionError) as error:
        raise AdapterRefused("bad_config", f"{CONFIG_FILE}: {error}") from None
    if not isinstance(said, dict) or "peft_type" not in said:
        raise AdapterRefused("bad_config", f"{CONFIG_FILE}: it has no `peft_type`")
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name} {len(content or b'')} ".encode() + (content or b""))
    kind = str(said["peft_type"])
    return Generation(key=digest.hexdigest()[:16], deltas={}, format=kind)
