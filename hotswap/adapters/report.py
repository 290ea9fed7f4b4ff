"""Report: what a check of an adapter's folder found, served or not.

The same for `hotswap check` and for whoever asks over HTTP.
"""

from pathlib import Path

from msgspec import Struct

from hotswap.adapters.checkpoint import Layout, Limits, read
from hotswap.adapters.deltas import Generation
from hotswap.adapters.tokenizers import Tokenizers
from hotswap.errors import AdapterRefused


class Report(Struct, frozen=True, kw_only=True):
    """`ok`: it can be served. If not, `code` is stable and `reason` a sentence; the
    other fields are then unknown. `merge_loss`: see `Generation`."""

    ok: bool
    code: str | None = None
    reason: str | None = None
    generation: str | None = None
    rank: int | None = None
    modules: int | None = None
    bytes: int | None = None
    can_merge: bool | None = None
    can_mix: bool | None = None
    note: str | None = None
    merge_loss: float | None = None
    warnings: tuple[str, ...] = ()


def report(
    folder: Path,
    layout: Layout,
    limits: Limits | None = None,
    tokenizers: Tokenizers | None = None,
) -> Report:
    """Read and check the folder, and keep nothing of it."""
    try:
        return good(read(folder, layout, limits, tokenizers))
    except AdapterRefused as error:
        return bad(error)


def bad(error: AdapterRefused) -> Report:
    return Report(ok=False, code=error.code, reason=error.reason)


def good(found: Generation) -> Report:
    return Report(
        ok=True,
        generation=found.key,
        rank=found.rank,
        modules=found.modules,
        bytes=found.nbytes,
        can_merge=found.can_merge,
        can_mix=found.can_mix,
        note=found.note,
        merge_loss=found.merge_loss,
        warnings=found.warnings,
    )


def text(folder: Path, found: Report) -> str:
    """The report for a person to read."""
    if not found.ok:
        return f"{folder}: refused ({found.code}): {found.reason}"
    loss = f"{found.merge_loss:.2%}" if found.merge_loss is not None else "unknown"
    lines = [
        f"{folder}: ok, generation {found.generation}",
        f"  rank {found.rank}, {found.modules} modules, {found.bytes} bytes",
        f"  a merge loses {loss} of the update",
        f"  {found.note or 'runs merged and mixed'}",
        *(f"  warning: {warning}" for warning in found.warnings),
    ]
    return "\n".join(lines)
