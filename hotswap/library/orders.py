"""Orders: what a client asks to be done with a name, and what came of it. Frozen data.

Each family of routes makes one of these from its own fields; it travels whole to the
registry, which alone acts on it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from hotswap.adapters.origin import Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """Let `name` stand for the folder of `origin`.

    `replace`: also if it stands for another one now. `expected`: the key of the
    generation that it has to stand for now; "" is none, None does not ask.
    """

    name: str
    origin: Origin
    replace: bool = False
    expected: str | None = None


@dataclass(frozen=True, slots=True)
class Registered:
    """`generation`: its key, None if it was not read. `said`: by a hook, to be told."""

    generation: str | None
    said: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Change what was asked for `name`. None: as it is; `options` are added.

    `src` cannot be changed: it may be repeated.
    """

    name: str
    src: str | None = None
    preload: bool | None = None
    pin: bool | None = None
    alias: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def applied_to(self, origin: Origin) -> Origin:
        """`origin` with what is given."""
        return replace(
            origin,
            preload=origin.preload if self.preload is None else self.preload,
            pin=origin.pin if self.pin is None else self.pin,
            alias=origin.alias if self.alias is None else self.alias,
            options={**origin.options, **self.options},
        )
