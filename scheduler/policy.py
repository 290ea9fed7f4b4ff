"""Policy: who chooses the next step, and all that it may see.

A policy answers one question with a value and changes nothing but what it remembers
for itself. It sees a `View`, whose jobs it can only read; no clock but `now`. A plan
may merge only a generation of `view.runnable()` that `can_merge`, and mix only if
`view.front` has somebody to serve.
"""

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol, runtime_checkable

from scheduler.costs import Costs, Mode


class Load(Protocol):
    """What a policy may know of one generation's jobs. Valid for this decision."""

    @property
    def generation(self) -> str: ...
    @property
    def rank(self) -> int: ...
    @property
    def can_merge(self) -> bool: ...
    @property
    def can_mix(self) -> bool: ...
    @property
    def weight(self) -> float: ...
    @property
    def jobs(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def live(self) -> int: ...
    @property
    def first_order(self) -> tuple[int, int]: ...
    @property
    def head_kv_tokens(self) -> int: ...
    @property
    def unanswered(self) -> int: ...
    @property
    def unfilled_tokens(self) -> int: ...
    @property
    def context_tokens(self) -> int: ...
    @property
    def expected_steps(self) -> float: ...


class JobView(Protocol):
    """What a policy may know of one job."""

    @property
    def generation(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def computed(self) -> int: ...
    @property
    def generated(self) -> int: ...


class Aside(Enum):
    """Whom a step inside somebody else's turn is for."""

    FIRST_TOKENS = "first tokens"  # who waits for one, oldest first
    STREAMS = "streams"  # live jobs alone: nobody is admitted


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How to run: merged with one generation resident, or mixed. `why` is for logs.

    `first`: generations that are seated before the others, one job for each mention.
    `aside`: one step, after which the turn goes on. `without`: a generation that is
    left out. `build_ahead`: a generation to build a slot for between the steps of this
    turn.
    """

    mode: Mode
    generation: str | None = None
    why: str
    first: tuple[str, ...] = ()
    aside: Aside | None = None
    without: str | None = None
    build_ahead: str | None = None

    def __post_init__(self) -> None:
        assert (self.generation is None) == (self.mode is Mode.MIXED), self


class Front(NamedTuple):
    """Who a mixed step would serve in plain order: the generation of each job."""

    generations: tuple[str, ...]
    adapters: int
    ranks: int
    context_tokens: int


class StreamsView(NamedTuple):
    """The generations whose streams must not fall behind, the one served longest ago
    first. `quiet`: all of them, while there is a flood. `due`: who comes before others
    in a mixed step. `late`: who must have the next step. `streaming`: how many have
    streams at all.
    """

    quiet: tuple[str, ...]
    due: tuple[str, ...]
    late: tuple[str, ...]
    streaming: int


class BacklogView(Protocol):
    """What of the backlog a policy may ask, beside the loads."""

    @property
    def waiting(self) -> Mapping[int, JobView]: ...  # by id, as submitted
    @property
    def live(self) -> Mapping[int, JobView]: ...  # by id, as admitted
    @property
    def unanswered(self) -> int: ...
    @property
    def unfilled_tokens(self) -> int: ...
    def __len__(self) -> int: ...
    def by_size(self) -> Iterator[Load]: ...
    def by_age(self) -> Iterator[Load]: ...


class View(NamedTuple):
    """What a policy may see. `turn` is the last plan that was no aside."""

    now: float
    backlog: BacklogView
    loads: Mapping[str, Load]
    front: Front
    turn: Plan | None
    resident: str  # whose slot the last step computed with; base: golden
    warm: frozenset[str]  # generations that some slot holds, base always among them
    newcomer: Load | None  # of the first unanswered job that can run
    overdue: Load | None  # of the job whose patience or deadline is over, if it can run
    streams: StreamsView  # streams that must not fall behind
    in_credit: Set[str]  # generations with some of their share of time left
    swap_budget_s: float  # what may be spent on swaps now
    free_kv_tokens: int
    kv_tokens: int
    barred_after: int | None  # jobs submitted later must leave free KV alone
    max_batch: int
    prefill_tokens: int
    prompts_per_row: float  # prompt tokens computed for each row of late
    builds_ahead: bool  # whether a slot can be built while others run
    costs: Costs

    def prompts_beside(self, rows: int) -> int:
        """Prompt tokens that a step with so many rows has to compute, at the pace of
        late: answers end, and others begin."""
        return min(int(rows * self.prompts_per_row), self.prefill_tokens)

    def is_runnable(self, load: Load) -> bool:
        """Whether some job of it could take part in a step now."""
        if load.live:
            return True
        return load.head_kv_tokens <= self.free_kv_tokens and (
            self.barred_after is None or load.first_order[1] <= self.barred_after
        )

    def runnable(self, loads: Iterable[Load]) -> Iterator[Load]:
        return (load for load in loads if self.is_runnable(load))


class Policy(Protocol):
    """One class, one method. The same views in the same order, the same answers."""

    def choose(self, view: View) -> Plan: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The most that a step and a wait behind others can take, by measured costs."""

    patience_s: float  # a wait that no policy needs to act on
    step_s: float  # the largest step, and the dearest swap before it
    aside_s: float  # the largest step aside, whose swap is warm if it may be
    steps_ahead: int  # steps that all who wait for a first token need, one by one
    streams: int  # adapters with streams, one by one


@runtime_checkable
class Bounded(Protocol):
    """A policy that promises a bound on the wait for the first token, and on the gap
    between two tokens of an adapter that asks for no more than its part of the seats.
    """

    def wait_bound_s(self, bounds: Bounds) -> float: ...
    def gap_bound_s(self, bounds: Bounds) -> float: ...


def merged(generation: str, why: str) -> Plan:
    return Plan(mode=Mode.MERGED, generation=generation, why=why)


def mixed(why: str, build_ahead: str | None = None) -> Plan:
    return Plan(mode=Mode.MIXED, why=why, build_ahead=build_ahead)


def merge_first(view: View, loads: Iterable[Load], why: str) -> Plan:
    """Merge the first of `loads` that can run; one that must not be merged is mixed."""
    for load in view.runnable(loads):
        if load.can_merge:
            return merged(load.generation, why)
        if view.front.generations:
            return mixed(f"{why}, not to be merged")
    return mixed(why)


def by_age(view: View, why: str) -> Plan | None:
    """For policies that mix: a merged plan if the oldest job that can run may not be
    mixed, or if nobody else can run; or None."""
    for load in view.runnable(view.backlog.by_age()):
        if load.can_mix and view.front.generations:
            return None
        if load.can_merge:
            return merged(load.generation, why)
        # It has KV, but may not pass an older one that lacks it.
    return None
