"""Deltas: what an adapter adds to each linear module, as low-rank factors.

A generation is one content of an adapter. Its tensors are never written.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch


@dataclass(frozen=True, slots=True, eq=False)
class Delta:
    """`scale * b @ a`, to be added to a weight seen as [out, in]."""

    a: torch.Tensor  # [rank, in], the dtype of the file, on the CPU
    b: torch.Tensor  # [out, rank]
    scale: float

    @property
    def nbytes(self) -> int:
        return self.a.nbytes + self.b.nbytes


@dataclass(frozen=True, eq=False, kw_only=True)
class Generation:
    """`key` is a digest of the files; `deltas` is keyed by the module's path."""

    key: str
    deltas: Mapping[str, Delta]

    @cached_property
    def rank(self) -> int:
        """The largest rank of any module."""
        return max(delta.a.shape[0] for delta in self.deltas.values())

    @cached_property
    def nbytes(self) -> int:
        return sum(delta.nbytes for delta in self.deltas.values())

    def scaled(self, factor: float) -> "Generation":
        """The same update `factor` times as strong: another generation."""
        key = hashlib.sha256(f"{self.key} x {factor!r}".encode()).hexdigest()[:16]
        deltas = {
            path: replace(delta, scale=delta.scale * factor)
            for path, delta in self.deltas.items()
        }
        return Generation(key=key, deltas=deltas)
