"""LoraStack: the adapters of one layer, stacked, and the product that adds them.

The A of all adapters in use lie under each other, their B likewise. A row runs through
every A in one product, what belongs to others' adapters is set to zero, and one product
with the stacked B adds the update:

    y += mask(x A^T) B         A [R, in], mask [rows, R], B [R, out]

It is set (a bitwise and, as fast as a product), not multiplied by zero, and B is
finite: nothing that an adapter holds or makes of another's row can reach that row,
infinities included.

On the CPU a product costs as much for its call as for its bytes, so one masked product
beats one for each adapter up to thousands of stacked rows. A stack that has not changed
for some steps is packed by the kernels, whose layout is faster still.

Where a C compiler is, and for float32, `Segmented` takes the place of all that: each
row through its own factors, in a third of the time with eight adapters. Beside weights
of bfloat16 the factors are that, too, half the bytes to read, while that is exact for
all of them: of float32 files a strong adapter would lose more than merging does.
"""

import math
from collections.abc import Iterable, Mapping, Set

import torch
from torch.nn import functional as F

from hotswap.adapters.factors import factors, largest
from hotswap.adapters.generation import Generation
from hotswap.errors import MixFailed
from hotswap.model.eager.lora_mapping import LoraMapping, Rank
from hotswap.model.machine.kernels import Kernels
from hotswap.model.machine.segmented import Places, Segmented, Segments, StackedFactors

# A kernel is made and kept for each size that it meets, half a megabyte each: a stack
# computes with a multiple of so many rows, and those that nobody has are zero.
_FEW, _MANY = 16, 64


class LoraStack:
    """`parts`: which rows of the layer's output each module makes. `is_head`: it sees
    the rows that want logits. `steady`: uses without a change until it is packed.
    `native`: computes in the place of `kernels`, with factors of `dtype`, which may be
    bfloat16, where that is exact."""

    def __init__(
        self,
        mapping: LoraMapping,
        kernels: Kernels,
        parts: Mapping[str, slice],
        *,
        is_head: bool,
        steady: int,
        native: Segmented | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.owners: tuple[str, ...] = ()  # a key for each row of A and B in use
        self._ranks: tuple[Rank, ...] = ()  # the same, with their outputs
        self.nbytes = 0  # as it is and as packed
        self._mapping = mapping
        self._kernels = kernels
        self._native = native
        self._parts = parts
        self._out = max(rows.stop for rows in parts.values())
        self._bounds = tuple((rows.start, rows.stop) for rows in parts.values())
        self._places = Places({}, self._out)
        self._is_head = is_head
        self._dtype = dtype or mapping.dtype
        self._a = torch.empty(0)  # [capacity, in]
        self._b = torch.empty(0)  # [capacity, out]
        self._factors = StackedFactors(torch.empty(0, 0), torch.empty(0, 0))
        self._steady = steady
        self._uses = 0
        self._packed: tuple[torch.Tensor, torch.Tensor] | None = None

    @property
    def is_active(self) -> bool:
        """Whether `add_to` has something to add in this step."""
        return bool(self.owners) and self._mapping.is_active

    @property
    def is_packed(self) -> bool:
        return self._packed is not None

    def add_to(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """`y` [rows, out] plus what each row's adapter makes of `x` [rows, in].

        May mutate `y`. Outside a mixed step it is `y`.
        """
        if not self.is_active:
            return y
        if self._native is not None:
            return self._native.add(y, x, self._factors, self._segments())
        size = stacked_size(len(self.owners))
        nobody = ("",) * (size - len(self.owners))
        mask = self._mapping.mask(self._is_head, self.owners + nobody)
        # A layer that sees other rows than the step's would get a wrong adapter.
        assert x.shape[0] == mask.shape[0], "the rows of a layer are not the step's"
        kernels = self._kernels
        self._uses += 1
        if kernels.copies and self._packed is None and self._uses > self._steady:
            b = self._b[:size].t().contiguous()
            self._packed = kernels.pack(self._a[:size]), kernels.pack(b)
            self._count()
        if self._packed is None:
            h = F.linear(x, self._a[:size])
            h.view(mask.dtype).bitwise_and_(mask)
            return y.addmm_(h, self._b[:size])
        a, b = self._packed
        h = kernels.linear(x, a, None)
        h.view(mask.dtype).bitwise_and_(mask)
        return kernels.linear_add(h, b, None, y)

    def add_silu(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """silu of what `add_to` makes, in the same pass where there is one."""
        if self._native is None or not self.is_active:
            return F.silu(self.add_to(y, x), inplace=True)
        return self._native.add_silu(y, x, self._factors, self._segments())

    def add_mul(
        self, y: torch.Tensor, x: torch.Tensor, other: torch.Tensor
    ) -> torch.Tensor:
        """What `add_to` makes, times `other` [rows, out]; likewise."""
        if self._native is None or not self.is_active:
            return self.add_to(y, x).mul_(other)
        return self._native.add_mul(y, x, self._factors, self._segments(), other)

    def _segments(self) -> Segments:
        return self._mapping.segments(self._is_head, self._places)

    @torch.inference_mode()
    def append(self, generation: Generation) -> None:
        """Add an adapter's rows. A layer of several modules gets their A under each
        other and their B in blocks; the scale goes into B. Raises MixFailed for rows
        that are not finite in the stack's type."""
        deltas = [
            (rows, generation.deltas[path])
            for path, rows in self._parts.items()
            if path in generation.deltas
        ]
        if not deltas:
            return
        start = len(self.owners)
        ranks = [
            (generation.key, rows.start, rows.stop)
            for rows, delta in deltas
            for _ in range(delta.a.shape[0])
        ]
        made = [(rows, *factors(delta, self._mapping.device)) for rows, delta in deltas]
        dtype = self._type_for(factor for _, *both in made for factor in both)
        self._reserve(start + len(ranks), deltas[0][1].a.shape[1], dtype)
        for rows, *both in made:
            a, b = (factor.to(dtype) for factor in both)
            # Zero times infinity is no number, and B is multiplied for others' rows.
            if not (math.isfinite(largest(a)) and math.isfinite(largest(b))):
                raise MixFailed(generation.key, "its factors are not finite")
            own = slice(start, start := start + a.shape[0])
            self._a[own] = a
            self._b[own] = 0
            self._b[own, rows] = b
        self._set((*self._ranks, *ranks))

    def drop(self, key: str) -> None:
        """Take back the adapter that was added last, if it was this. Cannot fail."""
        self._set(tuple(rank for rank in self._ranks if rank[0] != key))

    @torch.inference_mode()
    def keep(self, keys: Set[str]) -> None:
        """Drop all adapters but these. To drop all takes no memory: it cannot fail."""
        kept = [i for i, owner in enumerate(self.owners) if owner in keys]
        if kept and len(kept) != len(self.owners):
            rows = torch.tensor(kept, dtype=torch.long, device=self._a.device)
            a, b = self._a.index_select(0, rows), self._b.index_select(0, rows)
            self._a[: len(kept)], self._b[: len(kept)] = a, b
        self._set(tuple(self._ranks[i] for i in kept))

    @torch.inference_mode()
    def _set(self, ranks: tuple[Rank, ...]) -> None:
        """Let the rows in use be theirs, and the other ones zero that are computed."""
        used, size = len(ranks), stacked_size(len(ranks))
        if used < size:
            self._a[used:size] = 0
            self._b[used:size] = 0
        if ranks != self._ranks:  # what was packed is out of date
            self.owners, self._ranks = tuple(owner for owner, *_ in ranks), ranks
            self._places = self._mapping.places(ranks, self._bounds)
            self._uses, self._packed = 0, None
            self._count()

    def _type_for(self, made: Iterable[torch.Tensor]) -> torch.dtype:
        """The one with fewer bits if that loses nothing of these, nor of the others."""
        fewer, own = self._dtype, self._mapping.dtype
        is_free = not self.owners or self._a.dtype is fewer
        if fewer is not own and is_free:
            is_exact = (
                x.dtype is fewer or torch.equal(x, x.to(fewer).to(x)) for x in made
            )
            return fewer if all(is_exact) else own
        return own

    def _reserve(self, rows: int, columns: int, dtype: torch.dtype) -> None:
        if rows <= self._a.shape[0] and self._a.dtype is dtype:
            return
        capacity = stacked_size(2 * rows)
        used = len(self.owners)
        device = self._mapping.device
        a = torch.empty(capacity, columns, dtype=dtype, device=device)
        b = torch.empty(capacity, self._out, dtype=dtype, device=device)
        if used:
            a[:used], b[:used] = self._a[:used], self._b[:used]
        self._a, self._b = a, b
        if self._native is not None:
            self._factors = StackedFactors(a, b)
        self._count()

    def _count(self) -> None:
        held = (self._a, self._b, *(self._packed or ()))
        self.nbytes = sum(tensor.nbytes for tensor in held)


def stacked_size(rows: int) -> int:
    """As many rows as are computed with for `rows` in use."""
    step = _FEW if rows <= _MANY else _MANY
    return -(-rows // step) * step
