"""Flag: what stands on the command line, and the key of the configuration it sets."""

import argparse
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Flag:
    """`usage`: a flag and its value, or a place on the line. `parsing`: argparse's."""

    usage: str
    about: str
    parsing: dict[str, Any] = field(default_factory=dict)


class Arguments(Protocol):
    """A parser or one of its groups."""

    def add_argument(self, *names: str, **parsing: Any) -> argparse.Action: ...


def add_flag(command: Arguments, key: str, flag: Flag) -> None:
    """Its `dest` is `section.key`."""
    words = flag.usage.split()
    names = [word for word in words if word.startswith("--")]
    metavar = words[-1] if words != names else None
    command.add_argument(
        *names, dest=key, metavar=metavar, help=flag.about, **flag.parsing
    )


def set_keys(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the line sets, by section and key; None is not set."""
    found: dict[str, dict[str, Any]] = {}
    for name, value in vars(args).items():
        section, dot, key = name.partition(".")
        if dot:
            found.setdefault(section, {})[key] = value
    return found
