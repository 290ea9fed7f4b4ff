"""Model folder: which model, adapters and handler a folder of DJL Serving's stands for,
and under which names.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from hotswap.adapters.base_name import base_name
from hotswap.djl_config.model_store import ADAPTERS, without_ending
from hotswap.djl_config.properties_file import Entry
from hotswap.errors import StartFailed
from hotswap.model.model_path import ECHO

HANDLER = "model.py"

# Those of DJL's own handlers that generate text: what is built in here does the same.
_BUILT_IN = re.compile(
    r"djl_python\.(huggingface|tensorrt_llm|deepspeed|transformers[_-]neuronx|"
    r"fastertransformer|lmi_\w+(\.\w+)*)(\.py)?"
)
_FORMATTERS = re.compile(rb"^\s*@(input|output)_formatter\b", re.M)


@dataclass(frozen=True, slots=True, kw_only=True)
class Located:
    """`model`: for `model.path`. `adapters`, `handler`: None is none. `roots`: folders
    that adapters may be registered from. `notes`: what is not as it was told."""

    model: str
    adapters: str | None = None
    handler: str | None = None
    roots: tuple[str, ...] = ()
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


def locate(
    path: str, name: str, folder: Path | None, told: Mapping[str, Entry]
) -> Located:
    """`path`: what was named as the model; `folder`: the same if it is a folder, and
    `name` what DJL calls it. Raises StartFailed."""
    model, notes = _model(path, folder, told), list[str]()
    handler = None if folder is None else _handler(folder, told)
    if folder is not None and model == path and handler and not _holds_model(folder):
        model = ECHO
        notes.append(f"{folder} holds no model: `echo` answers what {handler} does not")
    adapters = _adapters(folder, model, told)
    if folder is not None and adapters is not None:
        beside = Path(model) / ADAPTERS
        if beside.is_dir() and beside.resolve() != Path(adapters).resolve():
            notes.append(f"{beside} is not watched: {adapters} is")
    revision = told.get("option.revision")
    if revision and not model.startswith("hf://"):
        notes.append(f"{revision.name}: only models of the hub have revisions")
    served = told.get("option.served_model_name")
    names = [served.text if served else "", name, _own_name(model)]
    return Located(
        model=model,
        adapters=adapters,
        handler=handler,
        roots=() if folder is None else (str(folder),),
        names=tuple(dict.fromkeys(each for each in names if each and each != ECHO)),
        notes=tuple(notes),
    )


def _model(path: str, folder: Path | None, told: Mapping[str, Entry]) -> str:
    """A relative folder starts at the properties file: there DJL's workers run."""
    entry = told.get("option.model_id")
    if entry is None or not entry.text:
        return path
    text = entry.text
    if text.startswith("djl://"):
        raise StartFailed(f"{entry.said}: there is no model zoo of DJL's here")
    if "://" in text:
        return text.removeprefix("file://")
    if folder is not None and ((folder / text).exists() or text.startswith(".")):
        return str(folder / text)
    if (revision := told.get("option.revision")) and not Path(text).is_absolute():
        return f"hf://{text}@{revision.text}"
    return text


def _holds_model(folder: Path) -> bool:
    return (folder / "config.json").is_file()


def _adapters(folder: Path | None, model: str, told: Mapping[str, Entry]) -> str | None:
    """Beside the properties file, or in the model's folder: where DJL looks."""
    entry = told.get("option.adapters")
    if entry is not None and entry.text:
        if folder is None or "://" in entry.text:
            return entry.text
        return str(folder / entry.text)
    if folder is None:
        return None
    places = (folder / ADAPTERS, Path(model) / ADAPTERS)
    return next((str(place) for place in places if place.is_dir()), None)


def _handler(folder: Path, told: Mapping[str, Entry]) -> str | None:
    """The file of the operator's handler. Raises StartFailed for one that cannot be."""
    entry = told.get("option.entryPoint")
    own = folder / HANDLER
    if entry is None or not entry.text:
        return str(own) if own.is_file() else None
    if _BUILT_IN.fullmatch(entry.text):
        if own.is_file() and _FORMATTERS.search(own.read_bytes()):
            raise StartFailed(f"{entry.said}: the formatters of {own} would not be run")
        return None
    if not entry.text.endswith(".py"):
        raise StartFailed(
            f"{entry.said}: neither a .py file of the folder nor a handler of DJL's "
            "that generates text"
        )
    if "://" in entry.text:
        raise StartFailed(f"{entry.said}: code is run only from the model's folder")
    if not (folder / entry.text).is_file():
        raise StartFailed(f"{entry.said}: no such file in {folder}")
    return str(folder / entry.text)


def _own_name(model: str) -> str:
    """What a model is called where it comes from. Of a URL nothing but its path: what
    follows may be a signature that opens it."""
    if "://" not in model:
        return base_name(model)
    parts = urlsplit(model)
    path = f"{parts.netloc}{parts.path}".partition("@")[0].rstrip("/")
    return without_ending(path.rpartition("/")[2])


def settings_of(located: Located) -> Iterator[tuple[str, object]]:
    """What it sets, by key of the configuration; `model.path` is set by nobody else."""
    if located.adapters is not None:
        yield "adapters.directory", located.adapters
    if located.roots:
        yield "adapters.roots", list(located.roots)
    if located.handler is not None:
        yield "hooks.handler", located.handler
    if located.names:
        yield "server.served_model_names", list(located.names)
