"""Model store: where a start without MODEL finds its model, as DJL Serving does.

HF_MODEL_ID, SERVING_LOAD_MODELS, or what lies in SERVING_MODEL_STORE, which is
/opt/ml/model where SageMaker starts a container (`serving/.../util/ModelStore.java` of
DJL, and the config.properties of its containers). DJL loads all that it finds; here one
model is served, so a second one ends the start.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from os.path import abspath
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hotswap.djl_config.properties_file import PROPERTIES_FILE, Entry
from hotswap.djl_config.variables import of_variable
from hotswap.errors import StartFailed

SAGEMAKER_STORE = Path("/opt/ml/model")
ADAPTERS = "adapters"  # what DJL calls the directory
_NAMED = re.compile(r"(\[?([^?]+?)]?=)?(.+)", re.S)
_ARCHIVE = re.compile(r"\.(tar\.gz|tar\.z|tgz|zip|tar)$", re.I)
_ENGINE, _DEVICES = "engine", "load_on_devices"
_OF_HUB = {
    "HF_MODEL_ID": "option.model_id",
    "HF_REVISION": "option.revision",
    "HF_TASK": "option.task",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """`path`: a folder, a hub id or a URL. `name`: what DJL calls the model. `entries`:
    what is said beside it, before the folder's own properties."""

    path: str
    name: str
    entries: dict[str, Entry] = field(default_factory=dict)


def is_djl_folder(path: str) -> bool:
    """Whether it is a folder with DJL's properties."""
    try:
        return (Path(path).expanduser() / PROPERTIES_FILE).is_file()
    except (OSError, ValueError, RuntimeError):  # too long, a NUL byte, nobody's home
        return False


def named_by_djl(path: str, *, is_folder: bool = True) -> str:
    """What `wlm/.../ModelInfo.java: inferModelNameFromUrl` makes of a path or URL."""
    name = path.rstrip("/").rpartition("/")[2]
    if not is_folder:
        name = without_ending(name)
    return re.sub(r"\W|^_", "_", name, flags=re.ASCII)


def without_ending(name: str) -> str:
    """Of an archive."""
    return _ARCHIVE.sub("", name)


def find_place(environment: Mapping[str, str], store: Path | None) -> Place | None:
    """The one model that is to be served; None if nothing is said and nothing there.

    `store`: where to look if no variable says so; None is nowhere. Raises StartFailed
    for several, and for what cannot be served.
    """
    loaded = environment.get("SERVING_LOAD_MODELS", "").strip()
    said = environment.get("SERVING_MODEL_STORE", "").strip()
    found: dict[str, Place] = {}
    if loaded.upper() in ("", "ALL"):
        if said and not Path(said).is_dir():
            raise StartFailed(f"environment SERVING_MODEL_STORE={said}: no such folder")
        looked_at = Path(said) if said else store
        places = [] if looked_at is None else _stored(looked_at)
    elif loaded.upper() == "NONE":
        places = []
    else:
        places = [_loaded(each) for each in re.split(r"[, ]+", loaded) if each]
    if hub := environment.get("HF_MODEL_ID", "").strip():
        places.append(_from_hub(hub, environment))
    for place in places:
        found.setdefault(place.path, place)
    if len(found) > 1:
        shown = ", ".join(path.partition("?")[0] for path in found)
        raise StartFailed(f"several models, {shown}: one server serves one: name it")
    return next(iter(found.values()), None)


def _stored(store: Path) -> list[Place]:
    """Each of its folders is a model if there is nothing else in it; or it is one."""
    if not store.is_dir():
        return []
    inside = sorted(store.iterdir())
    if not all(_is_model(each) for each in inside):
        inside = [store]
    archives = [each.name for each in inside if each.is_file()]
    if archives:
        raise StartFailed(f"{store}: {archives[0]} is an archive: unpack it")
    return [_at(each) for each in inside if any(each.iterdir())]


def _is_model(path: Path) -> bool:
    is_archive = bool(_ARCHIVE.search(path.name))
    is_hidden = path.name.startswith(".") or path.name == ADAPTERS
    return not is_hidden and (path.is_dir() or is_archive)


def _at(folder: Path, name: str = "") -> Place:
    """In a folder that holds nothing but a folder, that one is the model, unless it is
    the adapters of a model that a variable names."""
    seen = [each for each in folder.iterdir() if not each.name.startswith(".")]
    if len(seen) == 1 and seen[0].is_dir() and seen[0].name != ADAPTERS:
        folder = seen[0]
    return Place(path=str(folder), name=name or named_by_djl(abspath(folder)))


def _loaded(told: str) -> Place:
    """PATH, NAME=PATH, or [NAME:VERSION:ENGINE:DEVICES]=PATH."""
    matched = _NAMED.fullmatch(told)
    assert matched  # it is not empty
    name, *others = (matched[2] or "").split(":")
    _, engine, devices = (*others, "", "", "")[:3]
    said = "environment SERVING_LOAD_MODELS"
    entries = {
        key: Entry(text, key, f"{said}:")
        for key, text in ((_ENGINE, engine), (_DEVICES, devices))
        if text
    }
    url = matched[3]
    parts = urlsplit(url)
    if parts.scheme in ("", "file"):
        path = unquote(parts.path) if parts.scheme else url
        if not Path(path).is_dir():
            raise StartFailed(f"{said}={told}: no folder (workflows: POST /workflows)")
        at = _at(Path(path), name)
        return Place(path=at.path, name=at.name, entries=entries)
    name = name or named_by_djl(parts.path, is_folder=parts.path.endswith("/"))
    return Place(path=url, name=name, entries=entries)


def _from_hub(told: str, environment: Mapping[str, str]) -> Place:
    """HF_MODEL_ID: a folder, a URL or a hub id, of HF_REVISION."""
    if "://" in told:
        return Place(path=told, name=named_by_djl(urlsplit(told).path))
    if Path(told).is_dir():
        return _at(Path(told))
    entries = {}
    for variable, key in _OF_HUB.items():
        if (entry := of_variable(variable, environment)).text:
            entries[key] = entry
    name = re.sub(r"\W|^_", "_", told, flags=re.ASCII)
    return Place(path=told, name=name, entries=entries)
