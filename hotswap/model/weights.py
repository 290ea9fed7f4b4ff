"""Weights: golden and k slots. The one object that knows what is resident.

1. Golden is never written. `checksum` shows it.
2. A slot's content depends on golden and one generation alone:
   `round(W0 + scale * B @ A)`, accumulated in float32 and rounded once.
3. A slot that is being built holds nothing until it is whole; a failure leaves golden
   resident. It may be built in slices, between the steps of a turn.

Nothing is ever subtracted, so nothing drifts (measured for subtraction in bf16 by
TRL issue 6688: 0.67 of the mean weight after 1,000 cycles).
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from hotswap.adapters.deltas import Delta, Generation
from hotswap.errors import MergeFailed
from hotswap.model.kernels import Kernels
from hotswap.model.linear import Linear
from scheduler import BASE, Swap

# More would be looked through at each swap for nothing.
_MOST = 64
# float32 scratch of a tile stays in a core's cache at usual widths.
_TILE_BYTES = 1 << 20


@dataclass(slots=True)
class _Slot:
    holds: Generation | None = None
    # Weights as the kernels prepared them, of the layers that the adapter touches
    prepared: dict[Linear, torch.Tensor] = field(default_factory=dict)
    # What it is worth to keep: see `_victim`
    uses: int = 0
    build_s: float = 0.0
    worth: float = 0.0


@dataclass(slots=True)
class _Build:
    """A slot on its way to a generation; it holds nothing until it is whole."""

    slot: _Slot
    generation: Generation
    rest: Iterator[Linear]
    before: dict[Linear, torch.Tensor] | None = None  # buffers to use again, once begun
    seconds: float = 0.0


class Weights:
    """Owned by the engine thread. Points the `Linear`s it was given."""

    def __init__(self, linears: Sequence[Linear], kernels: Kernels, slots: int) -> None:
        assert slots >= 1
        self._linears = linears
        self._kernels = kernels
        self._slots = [_Slot() for _ in range(slots)]
        self._resident: _Slot | None = None
        self._build: _Build | None = None
        self._age = 0.0
        # Where a weight is merged before the kernels take their copy, by shape
        self._scratch: dict[torch.Size, torch.Tensor] = {}

    @property
    def resident(self) -> str:
        """Key of the generation the model computes with now; BASE for golden."""
        slot = self._resident
        return slot.holds.key if slot and slot.holds else BASE

    @property
    def warm(self) -> frozenset[str]:
        """Keys that a swap reaches by flipping pointers."""
        return frozenset({BASE, *(s.holds.key for s in self._slots if s.holds)})

    @property
    def slot_count(self) -> int:
        return len(self._slots)

    def activate(self, generation: Generation | None) -> Swap | None:
        """Make `generation` (None: golden) resident. None if it was already.

        Mutates a slot's buffers and every Linear's weight pointer. Raises MergeFailed
        with golden resident.
        """
        key = generation.key if generation else BASE
        if key == self.resident:
            return None
        start = time.perf_counter()
        if generation is None:
            self._point_to(None)
            return Swap(warm=True, seconds=time.perf_counter() - start)
        slot = self._holding(key)
        warm, before = slot is not None, 0.0
        if slot is None:
            build = self._begin(generation)
            before, slot = build.seconds, build.slot
            self._go_on(build, float("inf"))
        slot.uses += 1
        slot.worth = self._age + slot.uses * slot.build_s
        self._point_to(slot)
        return Swap(warm=warm, seconds=before + time.perf_counter() - start)

    def prepare(self, generation: Generation, budget_s: float) -> float | None:
        """Build a slot for `generation` a little further, for about `budget_s`.

        The seconds it took in all, when it has just become whole; else None. Never
        touches the resident slot. Raises MergeFailed with golden resident.
        """
        if generation.key in self.warm:
            return None
        build = self._begin(generation)
        if build.slot is self._resident:
            return None
        return build.seconds if self._go_on(build, budget_s) else None

    def forget(self, key: str) -> None:
        """Empty the slot that holds `key`, if any."""
        if self._build is not None and self._build.generation.key == key:
            self._build = None
        slot = self._holding(key)
        if slot is not None:
            if slot is self._resident:
                self._point_to(None)
            slot.holds = None

    def checksum(self) -> str:
        """SHA-256 over every golden tensor, as loaded and as prepared."""
        digest = hashlib.sha256()
        for linear in self._linears:
            digest.update(repr(linear.parts).encode())
            for weight in (linear.golden, linear.prepared_golden):
                plain = weight.to_dense() if weight.is_mkldnn else weight
                raw = plain.contiguous().view(torch.uint8)
                digest.update(raw.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _holding(self, key: str) -> _Slot | None:
        return next((s for s in self._slots if s.holds and s.holds.key == key), None)

    def _victim(self) -> _Slot:
        """An empty slot, or the one least worth keeping, the resident one last.

        GreedyDual-Size-Frequency (Cherkasova 1998): worth is uses x seconds to rebuild,
        on top of the worth of what was given up last, so that old uses fade.
        """
        return min(
            self._slots,
            key=lambda s: (s is self._resident, s.holds is not None, s.worth),
        )

    def _begin(self, generation: Generation) -> _Build:
        """The build of `generation`, begun now or before. Another one is dropped."""
        if self._build is not None and self._build.generation is generation:
            return self._build
        slot = self._victim()
        if slot.holds is not None and slot is not self._resident:
            self._age = slot.worth
        touched = [
            linear
            for linear in self._linears
            if not generation.deltas.keys().isdisjoint(linear.parts)
        ]
        self._build = _Build(slot, generation, iter(touched))
        return self._build

    def _go_on(self, build: _Build, budget_s: float) -> bool:
        """Merge layer after layer until the budget is spent; True when all are done."""
        slot, start = build.slot, time.perf_counter()
        if build.before is None:
            if slot is self._resident:
                self._point_to(None)
            build.before, slot.prepared = slot.prepared, {}
            slot.holds, slot.uses = None, 0
        try:
            for linear in build.rest:
                out = self._buffer(linear, build.before.pop(linear, None))
                merge(linear, build.generation.deltas, out)
                slot.prepared[linear] = self._kernels.prepare(out)
                if time.perf_counter() - start > budget_s:
                    build.seconds += time.perf_counter() - start
                    return False
        except (RuntimeError, MemoryError) as error:
            self._build, slot.prepared = None, {}
            self._point_to(None)
            key = build.generation.key
            raise MergeFailed(f"generation {key}: {error}") from error
        build.seconds += time.perf_counter() - start
        slot.holds, slot.build_s, self._build = build.generation, build.seconds, None
        return True

    def _buffer(self, linear: Linear, before: torch.Tensor | None) -> torch.Tensor:
        """Memory to merge into: the slot's own, or scratch if a copy is made of it."""
        if self._kernels.copies:
            shape = linear.golden.shape
            if shape not in self._scratch:
                self._scratch[shape] = torch.empty_like(linear.golden)
            return self._scratch[shape]
        return torch.empty_like(linear.golden) if before is None else before

    def _point_to(self, slot: _Slot | None) -> None:
        prepared = slot.prepared if slot else {}
        for linear in self._linears:
            linear.weight = prepared.get(linear, linear.prepared_golden)
        self._resident = slot


def merge(linear: Linear, deltas: Mapping[str, Delta], out: torch.Tensor) -> None:
    """Write `round(golden + scale * b @ a)` to `out` [out, in]. Mutates `out` only."""
    for path, rows in linear.parts.items():
        golden, target = linear.golden[rows], out[rows]
        delta = deltas.get(path)
        if delta is None:
            target.copy_(golden)
        elif _is_exact(golden) and golden.dtype == delta.a.dtype == delta.b.dtype:
            torch.addmm(golden, delta.b, delta.a, alpha=delta.scale, out=target)
        else:
            _merge_tiles(golden, delta, target)


def _is_exact(golden: torch.Tensor) -> bool:
    """Whether torch's product accumulates in float32 and rounds its sum once.

    oneDNN's does; the fall-back for a CPU without bfloat16 units need not.
    """
    if golden.device.type != "cpu":
        return False
    return golden.dtype is torch.float32 or (
        golden.dtype is torch.bfloat16
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _merge_tiles(golden: torch.Tensor, delta: Delta, out: torch.Tensor) -> None:
    b = delta.b.to(golden.device, torch.float32)
    a = delta.a.to(golden.device, torch.float32)
    rows = max(1, _TILE_BYTES // (4 * golden.shape[1]))
    for start in range(0, golden.shape[0], rows):
        part = slice(start, start + rows)
        tile = golden[part].to(torch.float32, copy=True)
        out[part] = tile.addmm_(b[part], a, alpha=delta.scale)


def slots_that_fit(slot_bytes: int, budget_bytes: int) -> int:
    """How many whole slots fit into the budget: at least one, and not too many."""
    return min(max(1, budget_bytes // slot_bytes), _MOST)
