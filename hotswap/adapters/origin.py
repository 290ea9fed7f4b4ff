"""Origin: where an adapter's files lie, and what was asked for it. Data."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """`src` is the folder as it was named.

    `preload`: read now, or at the first request. `pin`: never leaves host memory.
    `alias`: what people see in texts. `options` go to hooks as they came.
    """

    src: str
    is_watched: bool = False  # found in the adapters directory
    preload: bool = True
    pin: bool = False
    alias: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
