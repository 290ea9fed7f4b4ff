"""Folders of DJL Serving's, and what a start makes of them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hotswap import config
from hotswap.config import Loaded
from hotswap.djl_config.properties_file import PROPERTIES_FILE
from hotswap.errors import StartFailed


def djl_folder(folder: Path, properties: str, *inside: str) -> Path:
    """`inside`: paths of files in it, or of folders where they end with a slash."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROPERTIES_FILE).write_text(properties)
    for name in inside:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir()
        else:
            path.write_text("{}")
    return folder


def started(
    folder: Path | str | None,
    environment: Mapping[str, str] | None = None,
    *,
    flags: dict[str, dict[str, Any]] | None = None,
    toml: Path | None = None,
    store: Path | None = None,
) -> Loaded:
    """As `hotswap serve FOLDER` reads its settings; None is no MODEL."""
    told = {"model": {"path": str(folder) if folder is not None else None}}
    for section, values in (flags or {}).items():
        told[section] = told.get(section, {}) | values
    return config.gather(toml, told, environment or {}, store)


def refusal(
    folder: Path | str | None,
    environment: Mapping[str, str] | None = None,
    store: Path | None = None,
) -> str:
    with pytest.raises(StartFailed) as failed:
        started(folder, environment, store=store)
    assert "\n" not in str(failed.value)
    return str(failed.value)
