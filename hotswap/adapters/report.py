"""Report: what a check of an adapter's folder found, served or not.

The same for `hotswap check` and for whoever asks over HTTP.
"""

from pathlib import Path

from msgspec.structs import asdict

from hotswap.adapters.adapter_info import GenerationInfo
from hotswap.adapters.generation import Generation
from hotswap.errors import AdapterRefused


class Report(GenerationInfo, frozen=True):
    """What is known of the folder's generation, and before it: `ok`, it can be served.
    If not, `code` is stable and `reason` a sentence, and nothing else is known."""

    ok: bool
    code: str | None = None
    reason: str | None = None


def served(generation: Generation) -> Report:
    return Report(True, **asdict(generation.info))


def refused(error: AdapterRefused) -> Report:
    return Report(False, error.code, error.reason)


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
