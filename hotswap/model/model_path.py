"""Model path: what a model's name says of where it comes from. Reads no model.

A folder as transformers saves it, a `.gguf` file, the id of a model on the hub, or a
URL that is fetched; or `echo`, which is none.
"""

import re
from pathlib import Path

from hotswap.errors import BadRequest, StartFailed
from hotswap.sources.location import is_location, parse

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_GGUF = b"GGUF"
ECHO = "echo"  # a folder of that name is ./echo


def is_hub_id(source: str) -> bool:
    """Whether it names neither a URL nor a file nor a folder that is there."""
    if source == ECHO or is_location(source):
        return False
    path = Path(source).expanduser()
    return path.suffix != ".gguf" and not path.is_dir()


def check(source: str) -> None:
    """Raises StartFailed for what can be seen to be no model at a glance."""
    if source == ECHO:
        return
    if is_location(source):
        _check_url(source)
        return
    path = Path(source).expanduser()
    try:
        if path.suffix == ".gguf":
            _check_gguf(source, path)
        elif path.is_dir():
            if not (path / "config.json").is_file():
                raise StartFailed(f"model {source}: the folder has no config.json")
        elif path.is_absolute() or source.startswith("."):
            raise StartFailed(f"model {source}: no such folder")
        elif not _HUB_ID.fullmatch(source):
            raise StartFailed(f"model {source}: no such folder, and no id of the hub")
    except (OSError, ValueError) as error:
        raise StartFailed(f"model {source}: {error}") from None


def _check_url(source: str) -> None:
    try:
        parse(source, "model.path")
    except BadRequest as error:
        raise StartFailed(f"model {error}") from None


def _check_gguf(source: str, path: Path) -> None:
    if not path.is_file():
        raise StartFailed(f"model {source}: no such file")
    with path.open("rb") as file:
        if file.read(len(_GGUF)) != _GGUF:
            raise StartFailed(f"model {source}: the file is no GGUF")
