"""LoraLayer: what the rows' own adapters add to one layer's output, on a GPU.

    y += (x A^T) B         A [rank, in], B [rank, out] of each row's adapter

A layer has its adapters' factors in pages of 16 rank rows. Nobody's row is read as
another's: a block of rows meets the pages of its own adapter and no others, so nothing
that an adapter holds, infinities included, can reach another's rows.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.gpu.lora_table import LoraTable


@dataclass(frozen=True, slots=True)
class LoraShape:
    """`parts`: which rows of the layer's output each module makes, by path, without a
    gap; `columns`: of its input; `is_head`: it sees the rows that want logits."""

    parts: Mapping[str, slice]
    columns: int
    is_head: bool = False

    @property
    def ends(self) -> tuple[int, ...]:
        """Where each part of the output ends."""
        return tuple(rows.stop for rows in self.parts.values())


class CurrentTables:
    """The tables of the step that runs, or is captured; shared by all layers. Outside
    of a mixed step there are none, and the layers add nothing."""

    def __init__(self) -> None:
        self.tokens: LoraTable | None = None
        self.logits: LoraTable | None = None

    @contextmanager
    def over(
        self, tokens: LoraTable | None, logits: LoraTable | None
    ) -> Iterator[None]:
        self.tokens, self.logits = tokens, logits
        try:
            yield
        finally:
            self.tokens = self.logits = None


class LoraLayer:
    """`a` [pages, parts * 16, in], `b` [pages, 16, out]: never moved."""

    def __init__(
        self,
        shape: LoraShape,
        a: torch.Tensor,
        b: torch.Tensor,
        current: CurrentTables,
        kernels: Kernels,
    ) -> None:
        self.a, self.b = a, b
        self._shape, self._current, self._kernels = shape, current, kernels

    def add_to(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """`y` [rows, out] plus what each row's adapter makes of `x` [rows, in], rounded
        once. Mutates `y`. Where no table is, it is `y` as it was."""
        current = self._current
        table = current.logits if self._shape.is_head else current.tokens
        if table is None:
            return y
        # A layer that sees other rows than the step's would get a wrong adapter.
        assert x.shape[0] == table.shape.rows, "the rows of a layer are not the step's"
        h = self._kernels.shrink(x, self.a, table)
        return self._kernels.expand_add(h, self.b, table, y, self._shape.ends)
