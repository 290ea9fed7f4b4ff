"""Rules: what may become of a key of DJL Serving. Each key has one, in `key_table`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Sets:
    """It sets keys of the configuration, `section.key` each.

    `values`: their values in a key's text; raises ValueError for a bad one. What is a
    text still becomes of the setting's type where the configuration is made.
    `about`: how its values differ from the setting's, for people.
    """

    keys: tuple[str, ...]
    values: Callable[[str], Sequence[Any]]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Locates:
    """It says where something of the model lies, or what it is called."""

    about: str


@dataclass(frozen=True, slots=True)
class Inert:
    """It has no effect here, and answers are the same: it is warned about. `met`:
    values that are what happens anyway, in small letters."""

    reason: str
    met: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Refused:
    """Answers would not be those that were asked for: it ends the start. `met` as
    above."""

    reason: str
    met: frozenset[str] = frozenset()


Rule = Sets | Locates | Inert | Refused


def inert(reason: str, met: str = "") -> Inert:
    """`met`: words."""
    return Inert(reason, frozenset(met.split()))


def refused(reason: str, met: str = "") -> Refused:
    """`met`: words."""
    return Refused(reason, frozenset(met.split()))
