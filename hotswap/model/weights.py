"""Weights: golden and k slots. The one object that knows what is resident.

1. Golden is never written. `checksum` shows it.
2. A slot's content depends on golden and one generation alone:
   `round(W0 + scale * B @ A)`, or what PEFT's own merge makes of W0, in float32 and
   rounded once.
3. A slot that is being built holds nothing until it is whole; a failure leaves golden
   resident. It may be built in slices, between the steps of a turn.

Nothing is ever subtracted, so nothing drifts (measured for subtraction in bf16 by
TRL issue 6688: 0.67 of the mean weight after 1,000 cycles).
"""

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from hotswap.adapters.deltas import Generation
from hotswap.errors import MergeFailed
from scheduler import BASE, Swap

# More would be looked through at each swap for nothing.
_MOST = 64


class Place(Protocol):
    """Parameters that can be pointed to a slot's content: `Linear` or `Loose`."""

    @property
    def parts(self) -> Mapping[str, slice]:
        """By path, the modules whose parameters they are."""

    @property
    def golden_tensors(self) -> Sequence[torch.Tensor]: ...
    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]: ...
    def build(self, generation: Generation, before: Any) -> Any:
        """Content for a slot, of golden and the generation alone. May use the memory
        of `before`, a content that nobody needs any more."""

    def point(self, content: Any) -> None: ...


@dataclass(slots=True)
class _Slot:
    holds: Generation | None = None
    # Of the places that the adapter touches
    content: dict[Place, Any] = field(default_factory=dict)
    # What it is worth to keep: see `_victim`
    uses: int = 0
    build_s: float = 0.0
    worth: float = 0.0


@dataclass(slots=True)
class _Build:
    """A slot on its way to a generation; it holds nothing until it is whole."""

    slot: _Slot
    generation: Generation
    rest: Iterator[Place]
    before: dict[Place, Any] | None = None  # contents to use again, once begun
    seconds: float = 0.0


class Weights:
    """Owned by the engine thread. Points the places it was given."""

    def __init__(self, places: Sequence[Place], slots: int) -> None:
        assert slots >= 1
        self._places = places
        self._slots = [_Slot() for _ in range(slots)]
        self._resident: _Slot | None = None
        self.pinned: frozenset[str] = frozenset()  # keys to keep while others can go
        self._away: frozenset[Place] = frozenset()  # that do not point to golden
        self._build: _Build | None = None
        self._age = 0.0

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

        Mutates a slot's buffers and every place's pointers. Raises MergeFailed with
        golden resident.
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
        for place in self._places:
            digest.update(repr(place.parts).encode())
            for tensor in place.golden_tensors:
                plain = tensor.to_dense() if tensor.is_mkldnn else tensor
                raw = plain.contiguous().view(torch.uint8)
                digest.update(raw.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _holding(self, key: str) -> _Slot | None:
        return next((s for s in self._slots if s.holds and s.holds.key == key), None)

    def _victim(self) -> _Slot:
        """An empty slot, or the one least worth keeping; the resident one last, pinned
        ones before it.

        GreedyDual-Size-Frequency (Cherkasova 1998): worth is uses x seconds to rebuild,
        on top of the worth of what was given up last, so that old uses fade.
        """
        return min(
            self._slots,
            key=lambda s: (
                s is self._resident,
                s.holds is not None and s.holds.key in self.pinned,
                s.holds is not None,
                s.worth,
            ),
        )

    def _begin(self, generation: Generation) -> _Build:
        """The build of `generation`, begun now or before. Another one is dropped."""
        if not generation.can_merge:
            raise MergeFailed(f"generation {generation.key}: {generation.note}")
        if self._build is not None and self._build.generation is generation:
            return self._build
        slot = self._victim()
        if slot.holds is not None and slot is not self._resident:
            self._age = slot.worth
        touched = [
            place
            for place in self._places
            if not generation.paths.isdisjoint(place.parts)
        ]
        self._build = _Build(slot, generation, iter(touched))
        return self._build

    def _go_on(self, build: _Build, budget_s: float) -> bool:
        """Build place after place until the budget is spent; True when all are done."""
        slot, start = build.slot, time.perf_counter()
        if build.before is None:
            if slot is self._resident:
                self._point_to(None)
            build.before, slot.content = slot.content, {}
            slot.holds, slot.uses = None, 0
        try:
            for place in build.rest:
                before = build.before.pop(place, None)
                slot.content[place] = place.build(build.generation, before)
                if time.perf_counter() - start > budget_s:
                    build.seconds += time.perf_counter() - start
                    return False
        except Exception as error:  # whatever PEFT's own merges raise
            self._build, slot.content = None, {}
            self._point_to(None)
            key = build.generation.key
            raise MergeFailed(f"generation {key}: {error}") from error
        build.seconds += time.perf_counter() - start
        slot.holds, slot.build_s, self._build = build.generation, build.seconds, None
        return True

    def _point_to(self, slot: _Slot | None) -> None:
        content = slot.content if slot else {}
        for place in self._away - content.keys():
            place.point(None)
        for place, filling in content.items():
            place.point(filling)
        self._away = frozenset(content)
        self._resident = slot


def slots_that_fit(slot_bytes: int, budget_bytes: int) -> int:
    """How many whole slots fit into the budget: at least one, and not too many."""
    return min(max(1, budget_bytes // slot_bytes), _MOST)
