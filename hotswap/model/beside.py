"""Beside: the adapters of a mixed step, run beside golden for all rows at once.

The adapters in use are stacked: all their A under each other, all their B likewise. A
row runs through every A in one product, a mask keeps what belongs to its own adapter,
and one product with the stacked B adds the update:

    y += ((x A^T) * mask) B          A [R, in], mask [rows, R], B [R, out]

On the CPU a product costs as much for its call as for its bytes, so one masked product
beats one for each adapter up to thousands of stacked rows. What no adapter in use
targets is skipped. The stack is kept between steps and renewed when an adapter comes
that is not in it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from hotswap.adapters.deltas import Generation

# An adapter stays in the stack for so many mixed steps without a row: renewing the
# stack for it costs about as much as carrying it along.
_LINGER = 16


@dataclass(frozen=True, slots=True)
class Target:
    """A layer seen from here: which of its output rows belong to which module."""

    parts: Mapping[str, slice]
    out: int


@dataclass(frozen=True, slots=True)
class Low:
    """What a layer still has to add: `h @ b`."""

    h: torch.Tensor  # [rows, R], masked
    b: torch.Tensor  # [R, out]


class Beside:
    """Shared by all layers of a model; owned by the engine thread."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self._dtype = dtype
        self._device = device
        self._branches: list[Branch] = []
        self._stacked: dict[str, Generation] = {}
        self._last_used: dict[str, int] = {}
        self._steps = 0
        self._owners: dict[bool, torch.Tensor] = {}  # by is_head; empty between steps
        self._masks: dict[tuple[bool, tuple[int, ...]], torch.Tensor] = {}

    def branch(self, targets: Sequence[Target], *, is_head: bool = False) -> "Branch":
        """Layers that share their input. `is_head`: its rows are the logits' rows."""
        made = Branch(self, targets, is_head)
        self._branches.append(made)
        return made

    @contextmanager
    def step(
        self,
        tokens: Sequence[Generation | None],
        logits: Sequence[Generation | None],
    ) -> Iterator[None]:
        """Run one forward pass in which each row has the generation given here."""
        self._use({g.key: g for g in tokens if g is not None})
        place = {key: index for index, key in enumerate(self._stacked)}
        for is_head, rows in ((False, tokens), (True, logits)):
            owners = [place[g.key] if g is not None else -1 for g in rows]
            self._owners[is_head] = torch.tensor(owners, device=self._device)
        try:
            yield
        finally:
            self._owners.clear()
            self._masks.clear()

    def forget(self, key: str) -> None:
        if self._stacked.pop(key, None) is not None:
            self._stack()

    @property
    def is_active(self) -> bool:
        return bool(self._owners)

    def mask(self, is_head: bool, columns: tuple[int, ...]) -> torch.Tensor:
        """[rows, R]: 1 where the row's generation owns the column, else 0."""
        held = self._masks.get((is_head, columns))
        if held is None:
            owners = torch.tensor(columns, device=self._device)
            held = (self._owners[is_head][:, None] == owners).to(self._dtype)
            self._masks[is_head, columns] = held
        return held

    def factors(
        self, generation: Generation, target: Target
    ) -> tuple[torch.Tensor, torch.Tensor] | None:
        """A [R, in] and B [R, out] of one generation for one layer, scale in B.

        A layer of several modules gets their A under each other and their B in blocks.
        """
        deltas = [
            (generation.deltas[path], rows)
            for path, rows in target.parts.items()
            if path in generation.deltas
        ]
        if not deltas:
            return None
        a = torch.cat([delta.a for delta, _ in deltas])
        b = torch.zeros(a.shape[0], target.out)
        start = 0
        for delta, rows in deltas:
            stop = start + delta.a.shape[0]
            b[start:stop, rows] = delta.b.t().float() * delta.scale
            start = stop
        return a.to(self._device, self._dtype), b.to(self._device, self._dtype)

    def _use(self, wanted: dict[str, Generation]) -> None:
        self._steps += 1
        self._last_used.update(dict.fromkeys(wanted, self._steps))
        if wanted.keys() <= self._stacked.keys():
            return
        oldest = self._steps - _LINGER
        kept = {k: g for k, g in self._stacked.items() if self._last_used[k] > oldest}
        self._stacked = kept | wanted
        self._last_used = {key: self._last_used[key] for key in self._stacked}
        self._stack()

    def _stack(self) -> None:
        for branch in self._branches:
            branch.stack(list(self._stacked.values()))


class Branch:
    """The stacked adapters of some layers with one input."""

    def __init__(
        self, beside: Beside, targets: Sequence[Target], is_head: bool
    ) -> None:
        self._beside = beside
        self._targets = targets
        self._is_head = is_head
        self._a: torch.Tensor | None = None  # [R of all layers, in]
        self._b: list[torch.Tensor | None] = [None for _ in targets]
        self._columns: tuple[int, ...] = ()  # the place of each column's owner

    def stack(self, generations: Sequence[Generation]) -> None:
        """Renew the stack. Generations keep their order."""
        a: list[torch.Tensor] = []
        columns: list[int] = []
        self._b = []
        for target in self._targets:
            b = []
            for place, generation in enumerate(generations):
                factors = self._beside.factors(generation, target)
                if factors is not None:
                    a.append(factors[0])
                    b.append(factors[1])
                    columns += [place] * factors[0].shape[0]
            self._b.append(torch.cat(b) if b else None)
        self._a = torch.cat(a) if a else None
        self._columns = tuple(columns)

    def shrink(self, x: torch.Tensor) -> list[Low | None]:
        """For `x` [rows, in]: what each layer has to add, None for nothing."""
        if self._a is None or not self._beside.is_active:
            return [None for _ in self._targets]
        mask = self._beside.mask(self._is_head, self._columns)
        # A layer that sees other rows than the step's would get a wrong adapter.
        assert x.shape[0] == mask.shape[0], "the rows of a layer are not the step's"
        h = F.linear(x, self._a).mul_(mask)
        lows: list[Low | None] = []
        start = 0
        for b in self._b:
            if b is None:
                lows.append(None)
                continue
            stop = start + b.shape[0]
            lows.append(Low(h[:, start:stop], b))
            start = stop
        return lows
