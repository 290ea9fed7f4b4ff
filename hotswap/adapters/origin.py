"""Origin: what an adapter is made of, and what was asked for it. Data."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """`src` is the folder or the URL as it was named, but for what is secret in it.
    `content`: the digest of what was fetched from there. `composition`: the sum of
    other adapters, in its canonical form, that it is; then there may be no folder.

    `preload`: read now, or at the first request. `pin`: never leaves host memory.
    `alias`: what people see in texts. `options` go to hooks as they came.
    """

    src: str
    is_watched: bool = False  # found in the adapters directory
    preload: bool = True
    pin: bool = False
    alias: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    composition: str | None = None
    content: str | None = None

    def is_nameless(self, name: str) -> bool:
        """Whether `name` is only what a request asked for: a sum that nobody named."""
        return name == self.composition


def of_sum(composition: str) -> Origin:
    """Of one that nobody named, or of one that is named without a folder."""
    return Origin(src=composition, composition=composition, preload=False)
