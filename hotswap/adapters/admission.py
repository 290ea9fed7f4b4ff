"""Admission: which adapters an operator lets in, of those that could be served."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hotswap.adapters.deltas import Generation
from hotswap.errors import AdapterRefused


def admitting(
    read: Callable[[Path], Generation],
    *,
    max_rank: int | None,
    targets: Sequence[str],
) -> Callable[[Path], Generation]:
    """`read`, which then also refuses a rank above `max_rank` and every module whose
    path does not end in one of `targets`; without targets all may be adapted."""

    def admitted(folder: Path) -> Generation:
        generation = read(folder)
        if max_rank is not None and generation.rank > max_rank:
            raise AdapterRefused(
                "rank_limit", f"its rank {generation.rank} is above {max_rank}"
            )
        for path in sorted(generation.deltas):
            if targets and not any(f".{path}".endswith(f".{t}") for t in targets):
                raise AdapterRefused(
                    "target_forbidden",
                    f"{path} may not be adapted here, only {', '.join(targets)}",
                )
        return generation

    return admitted
