"""Admission: which modules an operator lets adapters change."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hotswap.adapters.deltas import Generation
from hotswap.errors import AdapterRefused


def admitting(
    read: Callable[[Path], Generation], targets: Sequence[str]
) -> Callable[[Path], Generation]:
    """`read`, which then also refuses an adapter that changes a module whose path does
    not end in one of `targets`; without targets all may be changed."""

    def admitted(folder: Path) -> Generation:
        generation = read(folder)
        for path in sorted(generation.paths):
            if targets and not any(f".{path}".endswith(f".{t}") for t in targets):
                raise AdapterRefused(
                    "target_forbidden",
                    f"{path} may not be adapted here, only {', '.join(targets)}",
                )
        return generation

    return admitted
