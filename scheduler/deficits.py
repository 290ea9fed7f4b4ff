"""Deficits: a fair share of the engine's time for every generation that has jobs.

Deficit round robin (Shreedhar and Varghese 1995), as DLPM (arXiv 2501.14312) uses it
for locality: in a round each generation may be attended for its quantum of seconds, in
any order the policy likes; when all have had theirs a new round begins. Being attended
means that a step takes all the jobs it can: half of them is half attended. A swap is
charged to the generation that caused it. Whoever joins waits for the next round, and
whoever has no jobs leaves: idling saves nothing up. Debts are kept from round to round.
Service outside one's quantum, on seats that nobody in credit wants, is free.
"""

from collections.abc import Callable, Set
from operator import truediv


class Deficits:
    """Owned by the scheduler."""

    def __init__(self) -> None:
        self._left: dict[str, float] = {}  # seconds, of all that have jobs
        self._in_credit: dict[
            str, None
        ] = {}  # an ordered set: who may still be attended

    @property
    def in_credit(self) -> Set[str]:
        """Who has some of its quantum left. Never empty while anybody has jobs."""
        return self._in_credit.keys()

    def join(self, generation: str) -> None:
        self._left.setdefault(generation, 0.0)

    def leave(self, generation: str) -> None:
        del self._left[generation]
        self._in_credit.pop(generation, None)

    def charge(self, generation: str, seconds: float) -> None:
        """Service to one that has left, or that is not in credit, is free."""
        if generation in self._in_credit:
            self.debit(generation, seconds)

    def debit(self, generation: str, seconds: float) -> None:
        """Charge for service that was begun in credit, even if that is used up since:
        what is too much is a debt."""
        self._left[generation] -= seconds
        if self._left[generation] <= 0.0:
            self._in_credit.pop(generation, None)

    def refill(self, quantum_s: Callable[[str], float]) -> None:
        """Begin a new round if this one is over, with a quantum for each generation."""
        if self._in_credit or not self._left:
            return
        quanta = [max(quantum_s(name), 1e-6) for name in self._left]
        # As many quanta at once as it takes to leave somebody out of debt.
        most = max(map(truediv, self._left.values(), quanta))
        rounds = int(max(-most, 0.0)) + 1
        for (name, left), quantum in zip(self._left.items(), quanta, strict=True):
            self._left[name] = left + rounds * quantum
            if self._left[name] > 0.0:
                self._in_credit[name] = None
        if not self._in_credit:  # rounding
            self.refill(quantum_s)
