"""Weights: golden and k slots. The one object that knows what is resident.

1. Golden is never written. `checksum` shows it.
2. A slot's content depends on golden and one generation alone:
   `round(W0 + scale * B @ A)`, accumulated in float32 and rounded once.
3. A slot that is being built holds nothing until it is whole; a failure leaves golden
   resident.

Nothing is ever subtracted, so nothing drifts (measured for subtraction in bf16 by
TRL issue 6688: 0.67 of the mean weight after 1,000 cycles).
"""

import hashlib
import time
from collections.abc import Mapping, Sequence
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
    used_at: int = 0


class Weights:
    """Owned by the engine thread. Points the `Linear`s it was given."""

    def __init__(self, linears: Sequence[Linear], kernels: Kernels, slots: int) -> None:
        assert slots >= 1
        self._linears = linears
        self._kernels = kernels
        self._slots = [_Slot() for _ in range(slots)]
        self._resident: _Slot | None = None
        self._uses = 0
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
        warm = key in self.warm
        slot = self._slot_for(generation) if generation else None
        self._point_to(slot)
        return Swap(warm=warm, seconds=time.perf_counter() - start)

    def forget(self, key: str) -> None:
        """Empty the slot that holds `key`, if any."""
        for slot in self._slots:
            if slot.holds is not None and slot.holds.key == key:
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

    def _slot_for(self, generation: Generation) -> _Slot:
        slot = next(
            (s for s in self._slots if s.holds and s.holds.key == generation.key), None
        )
        if slot is None:
            slot = min(self._slots, key=lambda s: (s.holds is not None, s.used_at))
            if slot is self._resident:
                self._point_to(None)
            self._build(slot, generation)
        self._uses += 1
        slot.used_at = self._uses
        return slot

    def _build(self, slot: _Slot, generation: Generation) -> None:
        slot.holds = None
        before, slot.prepared = slot.prepared, {}
        try:
            for linear in self._linears:
                if generation.deltas.keys().isdisjoint(linear.parts):
                    continue
                out = self._buffer(linear, before.pop(linear, None))
                merge(linear, generation.deltas, out)
                slot.prepared[linear] = self._kernels.prepare(out)
        except (RuntimeError, MemoryError) as error:
            self._point_to(None)
            raise MergeFailed(f"generation {generation.key}: {error}") from error
        slot.holds = generation

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
