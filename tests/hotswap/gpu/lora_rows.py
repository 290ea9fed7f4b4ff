"""Rows of a step and the pages of their adapters, for the two kernels alone.

Pages that nobody owns hold NaN: whoever reads one is found out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from hotswap.model.gpu.kernels.lora import expand_add, shrink
from hotswap.model.gpu.lora_table import PAGE_RANK, LoraTable, TableShape, lora_table


@dataclass(frozen=True, kw_only=True)
class Case:
    """`ends`: the column of `y` where each part ends."""

    owners: Sequence[str]
    pages: Mapping[str, Sequence[int]]
    ends: Sequence[int]
    x: torch.Tensor
    y: torch.Tensor
    a: torch.Tensor
    b: torch.Tensor

    def table(self) -> LoraTable:
        shape = TableShape(len(self.x), len(self.a))
        data = torch.from_numpy(lora_table(self.owners, self.pages, shape))
        return LoraTable(shape, data.to(self.x.device))

    def run(self) -> torch.Tensor:
        """What the kernels make of a copy of `y`."""
        table = self.table()
        h = shrink(self.x, self.a, table)
        return expand_add(h, self.b, table, self.y.clone(), self.ends)

    def exact(self) -> tuple[torch.Tensor, torch.Tensor]:
        """By the definition, in float64: the result, and the sum of the sizes of all
        that is added up, which its error is in proportion to."""
        y, size = self.y.double(), self.y.double().abs()
        for row, owner in enumerate(self.owners):
            for page in self.pages.get(owner, ()):
                for part, end in enumerate(self.ends):
                    start = self.ends[part - 1] if part else 0
                    top = part * PAGE_RANK
                    h = (
                        self.a[page, top : top + PAGE_RANK].double()
                        @ self.x[row].double()
                    )
                    b = self.b[page, :, start:end].double()
                    y[row, start:end] += h @ b
                    size[row, start:end] += h.abs() @ b.abs()
        return y, size

    def moved(self, places: Sequence[int]) -> "Case":
        """The same with page n at `places[n]`."""
        a, b = self.a.clone(), self.b.clone()
        a[list(places)], b[list(places)] = self.a, self.b
        pages = {key: [places[p] for p in theirs] for key, theirs in self.pages.items()}
        return replace(self, a=a, b=b, pages=pages)

    def only(self, rows: Sequence[int]) -> "Case":
        """The same with these rows alone."""
        owners = [self.owners[row] for row in rows]
        return replace(self, owners=owners, x=self.x[list(rows)], y=self.y[list(rows)])


def case(
    owners: Sequence[str],
    pages: Mapping[str, Sequence[int]],
    *,
    count: int,
    columns: int = 40,
    ends: Sequence[int] = (20, 33, 40),
    dtype: torch.dtype = torch.float32,
    device: torch.device | None = None,
    seed: int = 0,
) -> Case:
    """`count` pages of random numbers, rows of random numbers."""
    random = torch.Generator().manual_seed(seed)

    def some(*shape: int, scale: float = 1.0) -> torch.Tensor:
        made = torch.randn(*shape, generator=random) * scale
        return made.to(dtype).to(device)

    a = some(count, PAGE_RANK * len(ends), columns, scale=columns**-0.5)
    b = some(count, PAGE_RANK, ends[-1])
    nobodys = sorted(set(range(count)) - {p for own in pages.values() for p in own})
    a[nobodys], b[nobodys] = torch.nan, torch.nan
    return Case(
        owners=owners,
        pages=pages,
        ends=ends,
        x=some(len(owners), columns),
        y=some(len(owners), ends[-1]),
        a=a,
        b=b,
    )
