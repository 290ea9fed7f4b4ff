"""Policy: who chooses the next step, and all that it may see.

A policy answers one question with a value and changes nothing. It sees a frozen
`View`: no jobs, no torch, no clock but `now`. A plan may name only a generation in
`view.runnable()`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from scheduler.backlog import Load
from scheduler.costs import Costs, Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to run: merged with one generation resident, or mixed. `why` is for logs.

    `prepare`: a generation to build a slot for between the steps of this turn.
    """

    mode: Mode
    generation: str | None = None
    why: str
    prepare: str | None = None

    def __post_init__(self) -> None:
        assert (self.generation is None) == (self.mode is Mode.MIXED), self


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a policy may see. `turn` is the plan of the last step, None at first."""

    now: float
    loads: Mapping[str, Load]
    turn: Plan | None
    warm: frozenset[str]  # generations that some slot holds, base always among them
    free_kv_tokens: int
    barred_after: float = float("inf")  # younger waiting jobs must leave free KV alone
    max_batch: int
    max_wait_s: float
    costs: Costs

    def runnable(self) -> list[Load]:
        """Groups that could take part in a step now. Never empty."""
        return [
            load
            for load in self.loads.values()
            if load.live
            or (
                load.head_kv_tokens <= self.free_kv_tokens
                and load.oldest_arrival <= self.barred_after
            )
        ]


class Policy(Protocol):
    """One class, one method. Same view, same answer."""

    def choose(self, view: View) -> Plan: ...


def merged(generation: str, why: str) -> Plan:
    return Plan(mode=Mode.MERGED, generation=generation, why=why)


def mixed(why: str, prepare: str | None = None) -> Plan:
    return Plan(mode=Mode.MIXED, why=why, prepare=prepare)
