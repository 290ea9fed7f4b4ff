"""LoraParts: a mixed step of more adapters than there are pages, as several passes."""

from collections.abc import Sequence

from hotswap.adapters.generation import Generation
from hotswap.model.gpu.lora_pool import LoraPool
from hotswap.model.network.rows import Row


def fitting_parts(rows: Sequence[Row], pool: LoraPool) -> list[list[int]]:
    """The rows by number, so that the adapters of each part fit the pool together; in
    most steps one part. Rows of one adapter stay together."""
    every = {row.generation.key: row.generation for row in rows if row.generation}
    if pool.fits(every.values()):
        return [list(range(len(rows)))]
    parts: list[list[Generation]] = [[]]
    for generation in every.values():
        if parts[-1] and not pool.fits([*parts[-1], generation]):
            parts.append([])
        parts[-1].append(generation)
    part_of = {g.key: n for n, part in enumerate(parts) for g in part}
    found: list[list[int]] = [[] for _ in parts]
    for number, row in enumerate(rows):
        found[part_of[row.generation.key] if row.generation else 0].append(number)
    return found
