"""Beside: the adapters of a mixed step, run beside golden for all rows at once.

Each layer has a stack: the A of all adapters in use under each other, their B likewise.
A row runs through every A in one product, a mask keeps what belongs to its own adapter,
and one product with the stacked B adds the update:

    y += ((x A^T) * mask) B          A [R, in], mask [rows, R], B [R, out]

On the CPU a product costs as much for its call as for its bytes, so one masked product
beats one for each adapter up to thousands of stacked rows. A layer that no adapter in
use targets is skipped. Stacks are kept between steps: an adapter that comes is
appended, those that were not used for a while leave together. A stack that has not
changed for some steps is handed to the kernels, whose layout is faster still.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch.nn import functional as F

from hotswap.adapters.deltas import Generation
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
        self._members: list[str] = []  # generation keys; the place is the owner's id
        self._last_used: dict[str, int] = {}
        self._steps = 0
        self._owners: dict[bool, torch.Tensor] = {}  # by is_head; empty between steps
        self._masks: dict[tuple[bool, tuple[int, ...]], torch.Tensor] = {}

    def stack(self, parts: Mapping[str, slice], *, is_head: bool = False) -> "Stack":
        """A layer's stack. `parts`: which rows of its output each module makes;
        `is_head`: it sees the rows that want logits."""
        steady = _STEADY + len(self._stacks) % _SPREAD
        made = Stack(self, parts, is_head, steady)
        self._stacks.append(made)
        return made

    @contextmanager
    def step(
        self,
        tokens: Sequence[Generation | None],
        logits: Sequence[Generation | None],
    ) -> Iterator[None]:
        """Run one forward pass in which each row has the generation given here."""
        self._use({g.key: g for g in tokens if g is not None})
        place = {key: index for index, key in enumerate(self._members)}
        for is_head, rows in ((False, tokens), (True, logits)):
            owners = [place[g.key] if g is not None else -1 for g in rows]
            self._owners[is_head] = torch.tensor(owners, device=self.device)
        try:
            yield
        finally:
            self._owners.clear()
            self._masks.clear()

    def forget(self, key: str) -> None:
        if key in self._members:
            self._keep([member for member in self._members if member != key])

    @property
    def is_active(self) -> bool:
        return bool(self._owners)

    def mask(self, is_head: bool, columns: tuple[int, ...]) -> torch.Tensor:
        """[rows, R]: 1 where the row's generation owns the column, else 0."""
        held = self._masks.get((is_head, columns))
        if held is None:
            owners = torch.tensor(columns, device=self.device)
            held = (self._owners[is_head][:, None] == owners).to(self.dtype)
            self._masks[is_head, columns] = held
        return held

    def _use(self, wanted: Mapping[str, Generation]) -> None:
        self._steps += 1
        try:
            self._seat(wanted)
        except Exception:
            # Some layers have the newcomer and some have not: the next to take its
            # place would get its update as well. They all come back when asked for.
            self._keep([])
            raise

    def _seat(self, wanted: Mapping[str, Generation]) -> None:
        self._last_used.update(dict.fromkeys(wanted, self._steps))
        idle = {
            key for key in self._members if self._last_used[key] < self._steps - _LINGER
        }
        if idle and 3 * len(idle) >= len(self._members):
            self._keep([key for key in self._members if key not in idle])
        for key, generation in wanted.items():
            if key not in self._members:
                for stack in self._stacks:
                    stack.append(len(self._members), generation)
                self._members.append(key)

    def _keep(self, keys: list[str]) -> None:
        places = [self._members.index(key) for key in keys]
        for stack in self._stacks:
            stack.keep(places)
        self._members = keys
        self._last_used = {key: self._last_used[key] for key in keys}


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
        self._columns: tuple[int, ...] = ()  # the owner's place, for each row in use
        self._steady = steady  # uses without a change after which it is packed
        self._uses = 0
        self._packed: tuple[torch.Tensor, torch.Tensor] | None = None

    @torch.inference_mode()
    def append(self, place: int, generation: Generation) -> None:
        """Add an adapter's rows. A layer of several modules gets their A under each
        other and their B in blocks; the scale goes into B."""
        deltas = [
            (rows, generation.deltas[path])
            for path, rows in self._parts.items()
            if path in generation.deltas
        ]
        if not deltas:
            return
        stop = start = len(self._columns)
        added = sum(delta.a.shape[0] for _, delta in deltas)
        self._reserve(start + added, deltas[0][1].a.shape[1])
        self._b[start : start + added].zero_()
        for rows, delta in deltas:
            start, stop = stop, stop + delta.a.shape[0]
            # A row of A that overflows is no number times the mask's zero, for all.
            # Powers of two, given to B instead, change no other bit.
            a = delta.a.to(self._a.device, torch.float32)
            power = torch.frexp(a.abs().amax(1, keepdim=True)).exponent
            power.clamp_(0, 127)
            self._a[start:stop] = torch.ldexp(a, -power)
            scaled = delta.b.t().to(self._b.device, torch.float32) * delta.scale
            self._b[start:stop, rows] = torch.ldexp(scaled, power)
        self._columns += (place,) * added
        self._unpack()

    @torch.inference_mode()
    def keep(self, places: Sequence[int]) -> None:
        """Drop all adapters but these, which get the places 0, 1 and so on.

        To drop all takes no memory, so it cannot fail.
        """
        renamed = {old: new for new, old in enumerate(places)}
        kept = [i for i, owner in enumerate(self._columns) if owner in renamed]
        if len(kept) != len(self._columns):
            self._unpack()
        if kept and len(kept) != len(self._columns):
            rows = torch.tensor(kept, dtype=torch.long, device=self._a.device)
            self._a[: len(kept)] = self._a.index_select(0, rows)
            self._b[: len(kept)] = self._b.index_select(0, rows)
        self._columns = tuple(renamed[self._columns[i]] for i in kept)

    def add_to(self, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """`y` [rows, out] plus what each row's adapter makes of `x` [rows, in].

        May mutate `y`. Outside a mixed step it is `y`.
        """
        if not self.is_active:
            return y
        used = len(self._columns)
        mask = self._beside.mask(self._is_head, self._columns)
        # A layer that sees other rows than the step's would get a wrong adapter.
        assert x.shape[0] == mask.shape[0], "the rows of a layer are not the step's"
        kernels = self._beside.kernels
        self._uses += 1
        if kernels.copies and self._packed is None and self._uses > self._steady:
            b = self._b[:used].t().contiguous()
            self._packed = kernels.prepare(self._a[:used]), kernels.prepare(b)
            self._beside.nbytes += sum(tensor.nbytes for tensor in self._packed)
        if self._packed is None:
            h = F.linear(x, self._a[:used]).mul_(mask)
            return y.addmm_(h, self._b[:used])
        a, b = self._packed
        h = kernels.linear(x, a, None).mul_(mask)
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
