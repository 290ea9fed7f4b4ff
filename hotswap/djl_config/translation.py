"""Translation: what a folder and the environment tell DJL Serving, as settings.

The properties file wins over OPTION_... and SERVING_... variables, as in DJL: its
documentation says so (`lmi/deployment_guide/configurations.md`), and its code fills in
from the environment what the file does not say. Both stand below the TOML file and the
flags.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import abspath
from pathlib import Path
from typing import Any

from hotswap.djl_config.addresses import settle_addresses
from hotswap.djl_config.key_table import KEYS, SERVER_KEYS
from hotswap.djl_config.model_folder import locate, settings_of
from hotswap.djl_config.model_store import (
    Place,
    find_place,
    is_djl_folder,
    named_by_djl,
)
from hotswap.djl_config.properties_file import (
    PROPERTIES_FILE,
    Entry,
    read_properties,
)
from hotswap.djl_config.rules import Inert, Refused, Rule, Sets
from hotswap.djl_config.variables import Told, told_by
from hotswap.errors import StartFailed
from hotswap.logs.printable import printable
from hotswap.model.model_path import ECHO

_UNKNOWN = "this server has no such option"
_OF_DJL_ALONE = ("option.revision", "option.entryPoint", "option.served_model_name")


@dataclass(frozen=True, slots=True)
class Setting:
    """A value for `key`, which is `section.key` of the configuration. `said`: the key
    of DJL's and its text, for people."""

    key: str
    value: Any
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation:
    """`model`: what is loaded, in place of the folder that was named. `unheeded`: what
    has no effect here and why, for people."""

    model: str
    settings: tuple[Setting, ...] = ()
    unheeded: tuple[str, ...] = ()


def translate(
    model: str, environment: Mapping[str, str], store: Path | None
) -> Translation:
    """`model`: what was named as MODEL, "" for nothing; `store`: where to look then,
    None is nowhere.

    Raises StartFailed for what cannot be honoured.
    """
    try:
        place = _place(model, environment, store)
        told = told_by(environment, is_djl=place is not None)
        return _of_another(model, told) if place is None else _of_djl(place, told)
    except OSError as error:  # a folder or file that may not be read
        raise StartFailed(f"{error.filename}: {error.strerror}") from None


def _place(
    model: str, environment: Mapping[str, str], store: Path | None
) -> Place | None:
    """Of the model, if it is one of DJL's."""
    if not model:
        return find_place(environment, store)
    if model == ECHO or not is_djl_folder(model):
        return None
    folder = Path(model).expanduser()
    return Place(path=str(folder), name=named_by_djl(abspath(folder)))


def _of_djl(place: Place, told: Told) -> Translation:
    """Of all that say something of the model, who comes first wins."""
    file = Path(place.path) / PROPERTIES_FILE
    said = read_properties(file) if file.is_file() else {}
    said = {key: entry for key, entry in said.items() if entry.text}
    entries = told.of_model | said | place.entries
    folder = Path(place.path) if Path(place.path).is_dir() else None
    found = locate(place.path, place.name, folder, entries)
    located = [
        Setting(key, value, f"{place.path}: {key}") for key, value in settings_of(found)
    ]
    return _of(found.model, located, found.notes, Told(entries, told.of_server))


def _of_another(model: str, told: Told) -> Translation:
    """A model that is not DJL's, for which variables may say something all the same."""
    named, adapters = (
        told.of_model.get(key) for key in ("option.model_id", "option.adapters")
    )
    located = []
    if adapters is not None:
        located = [Setting("adapters.directory", adapters.text, adapters.said)]
    notes = [
        f"{told.of_model[key].name}: only with a {PROPERTIES_FILE}"
        for key in _OF_DJL_ALONE
        if key in told.of_model
    ]
    return _of(model or (named.text if named else ""), located, notes, told)


def _of(
    model: str, located: Sequence[Setting], notes: Sequence[str], told: Told
) -> Translation:
    notes = [*notes, *settle_addresses(told.of_server)]
    settings = {setting.key: setting for setting in located}
    for setting in _settings(told):
        same = settings.setdefault(setting.key, setting)
        if same.value != setting.value:
            raise StartFailed(f"{setting.said}: not what {same.said} says")
    return Translation(
        model=model,
        settings=tuple(settings.values()),
        unheeded=(*notes, *_unheeded(told)),
    )


def _rules(told: Told) -> Iterator[tuple[str, Entry, Rule | None]]:
    for entries, rules in ((told.of_model, KEYS), (told.of_server, SERVER_KEYS)):
        for key, entry in entries.items():
            yield key, entry, rules.get(key)


def _settings(told: Told) -> Iterator[Setting]:
    """Raises StartFailed for a bad value, and for one that ends the start."""
    for _, entry, rule in _rules(told):
        if isinstance(rule, Refused) and entry.text.lower() not in rule.met:
            raise StartFailed(f"{entry.said}: {rule.reason}")
        if isinstance(rule, Sets):
            try:
                values = rule.values(entry.text)
            except ValueError as error:
                raise StartFailed(f"{entry.said}: {error}") from None
            for key, value in zip(rule.keys, values, strict=True):
                yield Setting(key, value, entry.said)


def _unheeded(told: Told) -> Iterator[str]:
    """A reason and all the keys that it holds for; no values, which may be secrets."""
    keys: dict[str, list[str]] = {}
    for _, entry, rule in _rules(told):
        if isinstance(rule, Inert) and entry.text.lower() not in rule.met:
            keys.setdefault(rule.reason, []).append(entry.name)
        elif rule is None:
            keys.setdefault(_UNKNOWN, []).append(entry.name)
    for reason, names in keys.items():
        yield f"{printable(', '.join(names))}: {reason}"
