"""ReplicaReport: what a replica publishes, all that the rule needs to know."""

from collections.abc import Set
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaReport:
    """A replica at one moment. Adapters go by the names that requests use.

    `warm`: adapters that are merged into a slot (the resident one is), or that have
    jobs here; one more request for them needs no swap of its own.
    """

    replica: str
    at_s: float  # when it was true, on the router's clock
    warm: Set[str]
    wait_s: float  # until a job that comes now would be begun
    jobs: int  # waiting and live
    seats: int  # jobs in one step
    cold_swap_s: float  # to make an adapter resident that is not warm
    is_ready: bool = True  # False: nothing is sent to it; what it has goes on
