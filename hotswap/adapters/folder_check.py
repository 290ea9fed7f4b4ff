"""Folder check: reads an adapter's folder as a registration does, and keeps nothing."""

from pathlib import Path

from hotswap.adapters.adapter_tokenizer import AdapterTokenizers
from hotswap.adapters.checkpoint import read
from hotswap.adapters.layout import Layout
from hotswap.adapters.limits import CheckpointLimits
from hotswap.adapters.report import Report, refused, served
from hotswap.errors import AdapterRefused


def report(
    folder: Path,
    layout: Layout,
    limits: CheckpointLimits | None = None,
    tokenizers: AdapterTokenizers | None = None,
) -> Report:
    """What was found."""
    try:
        return served(read(folder, layout, limits, tokenizers))
    except AdapterRefused as error:
        return refused(error)
