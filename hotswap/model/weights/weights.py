"""Weights: golden and k slots. The one object that knows what is resident.

1. Golden is never written. `checksum` shows it.
2. A slot's content depends on golden and one generation alone:
   `round(W0 + scale * B @ A)`, or what PEFT's own merge makes of W0, in float32 and
   rounded once.
3. A slot that is being built holds nothing until it is whole, the device's own work
   for it included; a failure leaves golden resident. It may be built in slices,
   between the steps of a turn.
4. Golden may have left the memory that the model computes in. Then a slot holds the
   bare model like any other generation, and each has something for all that left.

Nothing is ever subtracted, so nothing drifts (measured for subtraction in bf16 by
TRL issue 6688: 0.67 of the mean weight after 1,000 cycles).
"""

import hashlib
import time
from collections.abc import Sequence
from typing import Any

import torch

from hotswap.adapters.generation import Generation
from hotswap.errors import MergeFailed
from hotswap.model.machine.device import Device
from hotswap.model.weights.slots import Build, Slot, Swappable
from scheduler import BASE, Swap

_BARE = Generation(key=BASE, deltas={})


class Weights:
    """Owned by the engine thread. Points the `swappables` it was given, which may have
    been told to `leave` before."""

    def __init__(
        self, swappables: Sequence[Swappable], slots: int, device: Device
    ) -> None:
        assert slots >= 1
        self.swappables = swappables
        self._device = device
        self._slots = [Slot(number, _own(swappables)) for number in range(slots)]
        self._resident: Slot | None = None
        self.pinned: frozenset[str] = frozenset()  # keys to keep while others can go
        self._away: frozenset[Swappable] = frozenset()  # that do not point to golden
        self._build: Build | None = None
        self._age = 0.0
        self._has_golden = all(swappable.has_golden for swappable in swappables)
        self._to_golden()

    @property
    def resident(self) -> str:
        """Key of the generation the model computes with now; BASE for golden. None has
        "": where golden has left, and the bare model could not be built again."""
        slot = self._resident
        if slot is not None and slot.holds is not None:
            return slot.holds.key
        return BASE if self._has_golden else ""

    @property
    def warm(self) -> frozenset[str]:
        """Keys that a swap reaches by flipping pointers."""
        held = (slot.holds.key for slot in self._slots if slot.holds)
        return frozenset({BASE, *held} if self._has_golden else held)

    @property
    def memory_id(self) -> int | None:
        """Whose memory the model computes with: 0 is golden's, n + 1 that of slot n.
        It is what a captured graph has to be told by. None: it is not fixed, as the
        resident changes a shape, a norm or an embedding."""
        slot = self._resident
        if slot is None:
            return 0
        return slot.number + 1 if slot.own and slot.is_fixed else None

    @property
    def builds_ahead(self) -> bool:
        """Whether there is a slot to build ahead while the bare model runs."""
        return self._has_golden or len(self._slots) > 1

    def activate(self, generation: Generation | None) -> Swap | None:
        """Make `generation` (None: golden) resident. None if it was already.

        Mutates a slot's buffers and every swappable's pointers. Raises MergeFailed with
        golden resident; for golden itself only where it has left, with none.
        """
        wanted = generation or _BARE
        if wanted.key == self.resident:
            return None
        start = time.perf_counter()
        if wanted is _BARE and self._has_golden:
            self._point_to(None)
            return Swap(warm=True, seconds=time.perf_counter() - start)
        slot = self._holding(wanted.key)
        warm, built_s = slot is not None, 0.0
        if slot is None:
            slot, built_s = self._built(wanted)
            start = time.perf_counter()
        slot.uses += 1
        slot.worth = self._age + slot.uses * slot.build_s
        self._point_to(slot)
        return Swap(warm=warm, seconds=built_s + time.perf_counter() - start)

    def build_ahead(self, generation: Generation, budget_s: float) -> float | None:
        """Build a slot for `generation` a little further, for about `budget_s`.

        The seconds it took in all, when it has just become whole; else None. Never
        touches the resident slot. Raises MergeFailed with golden resident.
        """
        if generation.key in self.warm:
            return None
        build = self._begin(generation)
        if build.slot is self._resident:
            return None
        if not build.is_queued:
            self._go_on(build, budget_s)
        return self._hold(build) if build.is_whole else None

    def forget(self, key: str) -> None:
        """Empty the slot that holds `key`, if any. Builds nothing and cannot fail."""
        if self._build is not None and self._build.generation.key == key:
            self._build = None
        slot = self._holding(key)
        if slot is not None:
            slot.holds = None
            if slot is self._resident:
                self._leave()

    def checksum(self) -> str:
        """SHA-256 over every golden tensor, as loaded and as packed."""
        digest = hashlib.sha256()
        for swappable in self.swappables:
            digest.update(repr(swappable.parts).encode())
            for tensor in swappable.golden_tensors:
                plain = tensor.to_dense() if tensor.is_mkldnn else tensor
                raw = plain.contiguous().view(torch.uint8)
                digest.update(raw.cpu().numpy().tobytes())
        return digest.hexdigest()

    def _holding(self, key: str) -> Slot | None:
        return next((s for s in self._slots if s.holds and s.holds.key == key), None)

    def _victim(self) -> Slot:
        """An empty slot, best one that has its memory; or the one least worth keeping,
        the resident one last, pinned ones before it.

        GreedyDual-Size-Frequency (Cherkasova 1998): worth is uses x seconds to rebuild,
        on top of the worth of what was given up last, so that old uses fade.
        """
        return min(
            self._slots,
            key=lambda s: (
                s is self._resident,
                s.holds is not None and s.holds.key in self.pinned,
                s.holds is not None,
                not s.content,
                s.worth,
            ),
        )

    def _begin(self, generation: Generation) -> Build:
        """The build of `generation`, begun now or before. Another one is dropped."""
        if not generation.can_merge:
            raise MergeFailed(f"generation {generation.key}: {generation.note}")
        if self._build is not None and self._build.generation is generation:
            return self._build
        slot = self._victim()
        if slot.holds is not None and slot is not self._resident:
            self._age = slot.worth
        work = slot.work(generation, self.swappables)
        self._build = Build(slot, generation, iter(work))
        return self._build

    def _built(self, generation: Generation) -> tuple[Slot, float]:
        """The slot of `generation` built to its end, and the seconds it took in all."""
        build = self._begin(generation)
        self._go_on(build, None)
        return build.slot, self._hold(build)

    def _go_on(self, build: Build, budget_s: float | None) -> None:
        """Queue one after the other until the budget is spent; None: all, and wait."""
        slot, start = build.slot, time.perf_counter()
        if build.before is None:
            if slot is self._resident:
                self._leave()
            build.before = slot.clear()
        try:
            with self._device.side():
                begin = self._device.record()
                self._queue(build, None if budget_s is None else start + budget_s)
                build.slices.append((begin, self._device.record()))
            if budget_s is None:
                build.slices[-1][1].wait()
        except Exception as error:  # whatever PEFT's own merges raise
            self._build, slot.content = None, {}
            if build.generation is not _BARE:
                self._to_golden()
            key = build.generation.key
            raise MergeFailed(f"generation {key}: {error}") from error

    def _queue(self, build: Build, until: float | None) -> None:
        assert build.before is not None
        for swappable in build.rest:
            before = build.before.pop(swappable, None)
            build.slot.build(swappable, build.generation, before, self._device)
            if until is not None and time.perf_counter() > until:
                return
        build.is_queued = True

    def _hold(self, build: Build) -> float:
        """The slot is whole: it holds its generation. The seconds it took."""
        slot, self._build = build.slot, None
        slot.holds, slot.build_s = build.generation, build.seconds
        slot.worth = self._age + slot.build_s  # as if used: else it is given up next
        return slot.build_s

    def _leave(self) -> None:
        """The resident slot is not run any more. The caller makes another resident."""
        if self._has_golden:
            self._point_to(None)
        self._resident = None

    def _to_golden(self) -> None:
        """Make the bare model resident, built anew if no slot holds it."""
        if self._has_golden:
            self._point_to(None)
        else:
            self._point_to(self._holding(BASE) or self._built(_BARE)[0])

    def _point_to(self, slot: Slot | None) -> None:
        content = slot.content if slot else {}
        for swappable in self._away - content.keys():
            swappable.point(None)
        for swappable, tensors in content.items():
            swappable.point(tensors)
        self._away = frozenset(content)
        self._resident = slot


def _own(swappables: Sequence[Swappable]) -> dict[Swappable, Any]:
    memory = {swappable: swappable.allocate() for swappable in swappables}
    return {swappable: own for swappable, own in memory.items() if own is not None}
