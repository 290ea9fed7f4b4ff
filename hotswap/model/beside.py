"""Beside: the adapters of a mixed step, run beside golden for all rows at once.

Each layer has a stack: the A of all adapters in use under each other, their B likewise.
A row runs through every A in one product, what belongs to others' adapters is set to
zero, and one product with the stacked B adds the update:

    y += own(x A^T) B          A [R, in], own [rows, R], B [R, out]

It is set (a bitwise and, as fast as a product), not multiplied by zero, and B is
finite: nothing that an adapter holds or makes of another's row can reach that row,
infinities included.

On the CPU a product costs as much for its call as for its bytes, so one masked product
beats one for each adapter up to thousands of stacked rows. A layer that no adapter in
use targets is skipped. Stacks are kept between steps: an adapter that comes is
appended, those that were not used for a while leave together. A stack that has not
changed for some steps is handed to the kernels, whose layout is faster still.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager

import torch
from torch.nn import functional as F

from hotswap.adapters.deltas import Generation
from hotswap.errors import MixFailed
from hotswap.model.kernels import Kernels

# Mixed steps without a row after which an adapter counts as idle. Idle ones leave when
# they are a third of the stack, so moving the others is paid for by what is saved.
_LINGER = 8
# A kernel is made and kept for each size that it meets, half a megabyte each: a stack
# computes with a multiple of so many rows, and those that nobody has are zero.
_FEW, _MANY = 16, 64
_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
# Packing pays for itself after about so many steps, so a stack is packed when it has
# not changed for as long (ski rental, Karlin 1988); not all layers in the same step.
_STEADY = 12
_SPREAD = 8


class Beside:
    """Shared by all layers of a model; owned by the engine thread."""

    def __init__(
        self, dtype: torch.dtype, device: torch.device, kernels: Kernels
    ) -> None:
        self.kernels = kernels
        self.dtype = dtype
        self.device = device
        self.nbytes = 0  # of all stacks, as they are and as packed
        self._stacks: list[Stack] = []
        # Who is in the stacks, by key: the last step that had a row of it. There is no
        # other book: a stack notes the owner's key beside each of its rows.
        self._last_used: dict[str, int] = {}
        self._steps = 0
        self._owners: dict[bool, list[str]] = {}  # by is_head; empty between steps
        self._masks: dict[tuple[bool, tuple[str, ...]], torch.Tensor] = {}

    def stack(self, parts: Mapping[str, slice], *, is_head: bool = False) -> "Stack":
        """A layer's stack. `parts`: which rows of its output each module makes;
        `is_head`: it sees the rows that want logits."""
        steady = _STEADY + len(self._stacks) % _SPREAD
        made = Stack(self, parts, is_head, steady)
        self._stacks.append(made)
        return made

    def seat(self, wanted: Iterable[Generation]) -> None:
        """Take in the generations of the next step. Raises MixFailed for one that
        cannot be, with all others as they were, and whatever the device raises."""
        self._steps += 1
        newcomers = {}
        for generation in wanted:
            if generation.key in self._last_used:
                self._last_used[generation.key] = self._steps
            else:
                newcomers[generation.key] = generation
        oldest = self._steps - _LINGER
        idle = {key for key, used in self._last_used.items() if used < oldest}
        if idle and 3 * len(idle) >= len(self._last_used) + len(newcomers):
            self._keep(self._last_used.keys() - idle)
        for generation in newcomers.values():
            self._append(generation)

    @contextmanager
    def step(
        self,
        tokens: Sequence[Generation | None],
        logits: Sequence[Generation | None],
    ) -> Iterator[None]:
        """Run one forward pass in which each row has the generation given here, which
        is seated."""
        for is_head, rows in ((False, tokens), (True, logits)):
            self._owners[is_head] = [_key(generation) for generation in rows]
        try:
            yield
        finally:
            self._owners.clear()
            self._masks.clear()

    def forget(self, key: str) -> None:
        if key in self._last_used:
            self._keep(self._last_used.keys() - {key})

    @property
    def members(self) -> Set[str]:
        """Keys of those who are seated."""
        return self._last_used.keys()

    @property
    def is_active(self) -> bool:
        return bool(self._owners)

    def own(self, is_head: bool, columns: tuple[str, ...]) -> torch.Tensor:
        """[rows, R]: all bits set where the row's generation owns the column, else
        none; integers as wide as the numbers."""
        held = self._masks.get((is_head, columns))
        if held is None:
            number = {key: n for n, key in enumerate(self._last_used)}
            owners = [number[key] if key else -1 for key in self._owners[is_head]]
            theirs = [number[key] if key else -2 for key in columns]
            rows = torch.tensor(owners, device=self.device)
            held = rows[:, None] == torch.tensor(theirs, device=self.device)
            held = -held.to(_BITS[self.dtype.itemsize])
            self._masks[is_head, columns] = held
        return held

    def _append(self, generation: Generation) -> None:
        if not generation.can_mix:
            raise MixFailed(generation.key, generation.note or "it is merged only")
        try:
            for stack in self._stacks:
                stack.append(generation)
        except BaseException:
            # Some layers have it and some have not: it must be in none.
            for stack in self._stacks:
                stack.drop(generation.key)
            raise
        self._last_used[generation.key] = self._steps

    def _keep(self, keys: Set[str]) -> None:
        try:
            for stack in self._stacks:
                stack.keep(keys)
            self._last_used = {k: n for k, n in self._last_used.items() if k in keys}
        except BaseException:
            # To drop all takes no memory. They come back when they are asked for.
            for stack in self._stacks:
                stack.keep(frozenset())
            self._last_used = {}
            raise


class Stack:
    """The adapters beside one layer."""

    def __init__(
        self, beside: Beside, parts: Mapping[str, slice], is_head: bool, steady: int
    ) -> None:
        self._beside = beside
        self._parts = parts
        self._out = max(rows.stop for rows in parts.values())
        self._is_head = is_head
        self._a = torch.empty(0)  # [capacity, in]
        self._b = torch.empty(0)  # [capacity, out]
        self._columns: tuple[str, ...] = ()  # the owner's key, for each row in use
        self._steady = steady  # uses without a change after which it is packed
        self._uses = 0
        self._packed: tuple[torch.Tensor, torch.Tensor] | None = None

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
        start = len(self._columns)
        stop = start + sum(delta.a.shape[0] for _, delta in deltas)
        self._reserve(stop, deltas[0][1].a.shape[1])
        for rows, delta in deltas:
            a, b = (factor.to(self._a) for factor in delta.factors(self._a.device))
            # Zero times infinity is no number, and B is multiplied for others' rows.
            if not bool(a.isfinite().all() and b.isfinite().all()):
                raise MixFailed(generation.key, "its factors are not finite")
            own = slice(start, start := start + a.shape[0])
            self._a[own] = a
            self._b[own] = 0
            self._b[own, rows] = b
        self._set((*self._columns, *[generation.key] * (stop - len(self._columns))))

    def drop(self, key: str) -> None:
        """Take back the adapter that was added last, if it was this. Cannot fail."""
        self._set(tuple(owner for owner in self._columns if owner != key))

    @torch.inference_mode()
    def keep(self, keys: Set[str]) -> None:
        """Drop all adapters but these. To drop all takes no memory: it cannot fail."""
        kept = [i for i, owner in enumerate(self._columns) if owner in keys]
        if kept and len(kept) != len(self._columns):
            rows = torch.tensor(kept, dtype=torch.long, device=self._a.device)
            a, b = self._a.index_select(0, rows), self._b.index_select(0, rows)
            self._a[: len(kept)], self._b[: len(kept)] = a, b
        self._set(tuple(self._columns[i] for i in kept))

    def add_to(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """`y` [rows, out] plus what each row's adapter makes of `x` [rows, in].

        May mutate `y`. Outside a mixed step it is `y`.
        """
        if not self.is_active:
            return y
        size = _sized(len(self._columns))
        nobody = ("",) * (size - len(self._columns))
        own = self._beside.own(self._is_head, self._columns + nobody)
        # A layer that sees other rows than the step's would get a wrong adapter.
        assert x.shape[0] == own.shape[0], "the rows of a layer are not the step's"
        kernels = self._beside.kernels
        self._uses += 1
        if kernels.copies and self._packed is None and self._uses > self._steady:
            b = self._b[:size].t().contiguous()
            self._packed = kernels.prepare(self._a[:size]), kernels.prepare(b)
            self._beside.nbytes += sum(tensor.nbytes for tensor in self._packed)
        if self._packed is None:
            h = F.linear(x, self._a[:size])
            h.view(own.dtype).bitwise_and_(own)
            return y.addmm_(h, self._b[:size])
        a, b = self._packed
        h = kernels.linear(x, a, None)
        h.view(own.dtype).bitwise_and_(own)
        return kernels.linear_add(h, b, None, y)

    @property
    def is_active(self) -> bool:
        """Whether `add_to` has something to add in this step."""
        return bool(self._columns) and self._beside.is_active

    @torch.inference_mode()
    def _set(self, columns: tuple[str, ...]) -> None:
        """Let the rows in use be these, and the other ones zero that are computed."""
        used, size = len(columns), _sized(len(columns))
        self._a[used:size] = 0
        self._b[used:size] = 0
        if columns == self._columns:
            return
        if self._packed is not None:  # it is out of date
            self._beside.nbytes -= sum(tensor.nbytes for tensor in self._packed)
        self._columns, self._uses, self._packed = columns, 0, None

    def _reserve(self, rows: int, columns: int) -> None:
        if rows <= self._a.shape[0]:
            return
        capacity = _sized(2 * rows)
        used = len(self._columns)
        dtype, device = self._beside.dtype, self._beside.device
        a = torch.empty(capacity, columns, dtype=dtype, device=device)
        b = torch.empty(capacity, self._out, dtype=dtype, device=device)
        if used:
            a[:used], b[:used] = self._a[:used], self._b[:used]
        self._beside.nbytes += a.nbytes + b.nbytes - self._a.nbytes - self._b.nbytes
        self._a, self._b = a, b


def _sized(rows: int) -> int:
    """As many rows as are computed with for `rows` in use."""
    step = _FEW if rows <= _MANY else _MANY
    return -(-rows // step) * step


def _key(generation: Generation | None) -> str:
    return "" if generation is None else generation.key
