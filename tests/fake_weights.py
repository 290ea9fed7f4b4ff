"""FakeWeights: golden and slots by name alone."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hotswap.adapters.generation import Generation
from hotswap.errors import MergeFailed
from scheduler import BASE, Swap


@dataclass
class FakeWeights:
    """Counts swaps; refuses to merge what is in `broken`."""

    resident: str = BASE
    slots: int = 1
    broken: set[str] = field(default_factory=set)
    held: list[str] = field(default_factory=list)
    pinned: frozenset[str] = frozenset()
    half_built: str = ""
    swaps: int = 0
    in_air: Sequence[object] = ()  # flights: no slot is built beside them
    beside: list[int] = field(default_factory=list)  # how many, at each swap

    @property
    def warm(self) -> frozenset[str]:
        return frozenset({BASE, *self.held})

    def build_ahead(self, generation: Generation, budget_s: float) -> float | None:
        """Two slices make a slot."""
        assert not self.in_air, "a slot was built beside a flight"
        if generation.key in self.warm:
            return None
        if generation.key in self.broken:
            raise MergeFailed(f"generation {generation.key}: injected")
        if self.half_built != generation.key:
            self.half_built = generation.key
            return None
        self.held = [generation.key, *self.held][: self.slots]
        return 0.001

    def activate(self, generation: Generation | None) -> Swap | None:
        key = generation.key if generation else BASE
        if key == self.resident:
            return None
        if key in self.broken:
            self.resident = BASE
            raise MergeFailed(f"generation {key}: injected")
        warm = key in self.warm
        assert warm or not self.in_air, "a slot was built beside a flight"
        if key != BASE:
            self.held = [key, *(k for k in self.held if k != key)][: self.slots]
        self.resident = key
        self.swaps += 1
        self.beside.append(len(self.in_air))
        return Swap(warm=warm, seconds=0.001)
