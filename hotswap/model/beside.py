"""Beside: the adapters of a mixed step, run beside golden for all rows at once.

Each layer has a stack: the A of all adapters in use under each other, their B likewise.
A row runs through every A in one product, what belongs to others' adapters is set to
zero, and one product with the stacked B adds the update:

    y += own(x A^T) B          A [R, in], own [rows, R], B [R, out]

It is set, not multiplied by zero, and B is finite: nothing that an adapter holds or
makes of another's row can reach that row, infinities included.

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
_LEAST_ROWS = 64
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
    def is_active(self) -> bool:
        return bool(self._owners)

    def others(self, is_head: bool, columns: tuple[str, ...]) -> torch.Tensor:
        """[rows, R]: true where the column is not the row's own generation's."""
        held = self._masks.get((is_head, columns))
        if held is None:
            number = {key: n for n, key in enumerate(self._last_used)}
            owners = [number.get(key, -1) for key in self._owners[is_head]]
            theirs = [number[key] for key in columns]
            rows = torch.tensor(owners, device=self.device)
            held = rows[:, None] != torch.tensor(theirs, device=self.device)
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
        added = sum(delta.a.shape[0] for _, delta in deltas)
        self._reserve(start + added, deltas[0][1].a.shape[1])
        made_a, made_b = self._a[start : start + added], self._b[start : start + added]
        made_b.zero_()
        at = 0
        for rows, delta in deltas:
            a, b = delta.factors(self._a.device)
            own = slice(at, at := at + a.shape[0])
            made_a[own], made_b[own, rows] = a, b
        # Zero times infinity is no number: B is multiplied for the rows of others, too.
        if not bool(made_a.isfinite().all() and made_b.isfinite().all()):
            raise MixFailed(generation.key, "its factors are not finite")
        self._columns += (generation.key,) * added
        self._unpack()

    def drop(self, key: str) -> None:
        """Take back the adapter that was added last, if it was this. Cannot fail."""
        kept = [owner for owner in self._columns if owner != key]
        if len(kept) != len(self._columns):
            self._columns = tuple(kept)
            self._unpack()

    @torch.inference_mode()
    def keep(self, keys: Set[str]) -> None:
        """Drop all adapters but these. To drop all takes no memory: it cannot fail."""
        kept = [i for i, owner in enumerate(self._columns) if owner in keys]
        if len(kept) == len(self._columns):
            return
        if kept:
            rows = torch.tensor(kept, dtype=torch.long, device=self._a.device)
            a, b = self._a.index_select(0, rows), self._b.index_select(0, rows)
            self._a[: len(kept)], self._b[: len(kept)] = a, b
        self._columns = tuple(self._columns[i] for i in kept)
        self._unpack()

    def add_to(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """`y` [rows, out] plus what each row's adapter makes of `x` [rows, in].

        May mutate `y`. Outside a mixed step it is `y`.
        """
        if not self.is_active:
            return y
        used = len(self._columns)
        others = self._beside.others(self._is_head, self._columns)
        # A layer that sees other rows than the step's would get a wrong adapter.
        assert x.shape[0] == others.shape[0], "the rows of a layer are not the step's"
        kernels = self._beside.kernels
        self._uses += 1
        if kernels.copies and self._packed is None and self._uses > self._steady:
            b = self._b[:used].t().contiguous()
            self._packed = kernels.prepare(self._a[:used]), kernels.prepare(b)
            self._beside.nbytes += sum(tensor.nbytes for tensor in self._packed)
        if self._packed is None:
            h = F.linear(x, self._a[:used]).masked_fill_(others, 0)
            return y.addmm_(h, self._b[:used])
        a, b = self._packed
        h = kernels.linear(x, a, None).masked_fill_(others, 0)
        return kernels.linear_add(h, b, None, y)

    @property
    def is_active(self) -> bool:
        """Whether `add_to` has something to add in this step."""
        return bool(self._columns) and self._beside.is_active

    def _unpack(self) -> None:
        """It has changed: what was packed is out of date."""
        if self._packed is not None:
            self._beside.nbytes -= sum(tensor.nbytes for tensor in self._packed)
        self._uses, self._packed = 0, None

    def _reserve(self, rows: int, columns: int) -> None:
        if rows <= self._a.shape[0]:
            return
        capacity = max(2 * rows, _LEAST_ROWS)
        used = len(self._columns)
        dtype, device = self._beside.dtype, self._beside.device
        a = torch.empty(capacity, columns, dtype=dtype, device=device)
        b = torch.empty(capacity, self._out, dtype=dtype, device=device)
        if used:
            a[:used], b[:used] = self._a[:used], self._b[:used]
        self._beside.nbytes += a.nbytes + b.nbytes - self._a.nbytes - self._b.nbytes
        self._a, self._b = a, b


def _key(generation: Generation | None) -> str:
    return "" if generation is None else generation.key
