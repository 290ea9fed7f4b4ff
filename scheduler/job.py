"""Job: one sequence to generate, as the scheduler sees it, and its lawful moves.

Everything about transitions lives in `MOVES`; a move that is not in the table raises
`IllegalMove` and changes nothing. Knows no queue, no clock and no policy.
"""

from array import array
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import Enum

BASE = "base"
"""The generation key of the bare model."""


class JobState(Enum):
    WAITING = "waiting"  # accepted, holds no KV
    RUNNING = "running"  # holds KV, in the current step
    PARKED = "parked"  # holds KV, left out of the current step
    PREEMPTED = "preempted"  # held KV, and waits for it again; its tokens are kept
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    # Enum's own is written in Python, and states are keys.
    __hash__ = object.__hash__


class JobEvent(Enum):
    ADMIT = "admit"
    PARK = "park"
    RESUME = "resume"
    PREEMPT = "preempt"
    FINISH = "finish"
    CANCEL = "cancel"
    FAIL = "fail"

    __hash__ = object.__hash__


MOVES: dict[JobState, dict[JobEvent, JobState]] = {
    JobState.WAITING: {
        JobEvent.ADMIT: JobState.RUNNING,
        JobEvent.CANCEL: JobState.CANCELLED,
        JobEvent.FAIL: JobState.FAILED,
    },
    JobState.RUNNING: {
        JobEvent.PARK: JobState.PARKED,
        JobEvent.PREEMPT: JobState.PREEMPTED,
        JobEvent.FINISH: JobState.DONE,
        JobEvent.CANCEL: JobState.CANCELLED,
        JobEvent.FAIL: JobState.FAILED,
    },
    JobState.PARKED: {
        JobEvent.RESUME: JobState.RUNNING,
        JobEvent.PREEMPT: JobState.PREEMPTED,
        JobEvent.FINISH: JobState.DONE,  # in a step that lands after the next decision
        JobEvent.CANCEL: JobState.CANCELLED,
        JobEvent.FAIL: JobState.FAILED,
    },
    JobState.PREEMPTED: {
        JobEvent.ADMIT: JobState.RUNNING,
        JobEvent.FINISH: JobState.DONE,  # as one that is parked
        JobEvent.CANCEL: JobState.CANCELLED,
        JobEvent.FAIL: JobState.FAILED,
    },
    JobState.DONE: {},
    JobState.CANCELLED: {},
    JobState.FAILED: {},
}


class IllegalMove(Exception):
    """A job was asked for a transition that `MOVES` does not have: our own bug."""

    def __init__(self, job: "Job", event: JobEvent) -> None:
        super().__init__(f"job {job.id} is {job.state.value} and cannot {event.value}")


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One sequence. The scheduler alone changes the fields below the line.

    `generation` groups jobs that can share merged weights; `arrival` is in seconds.
    All jobs of a generation agree on its rank, modes and weight.
    """

    id: int
    generation: str
    prompt_tokens: int
    max_tokens: int
    arrival: float
    rank: int = 0  # of its generation; 0 for base
    can_merge: bool = True  # False: merging it would lose too much
    can_mix: bool = True  # False: it is served merged only
    priority: int = 0  # a lower value is served earlier
    deadline: float | None = None  # for the first token, on the scheduler's clock
    weight: float = 1.0  # its generation's share, against 1.0 of the others
    queues: tuple[Hashable, ...] = ()  # that count it while it waits
    # Of each full block of its tokens, as far as they are told; it may grow. Without
    # them nothing of it is found again.
    block_hashes: Sequence[bytes] = ()
    reads_cache: bool = True  # False: all of its prompt must be computed
    # ---
    state: JobState = JobState.WAITING
    is_live: bool = False  # it runs or is parked: it holds KV
    computed: int = 0  # tokens in its KV
    unfilled_tokens: int = 0  # to compute before it samples the next; 0: it decodes
    generated: int = 0  # tokens sampled so far
    order: tuple[int, int] = (0, 0)  # of service: priority, then number of submission
    # Where its KV is: position p in blocks[p // block_tokens]. int32
    blocks: "array[int]" = field(default_factory=lambda: array("i"))
    kv_tokens: int = 0  # that it asks for to be admitted
    kv_end: int = 0  # tokens that its blocks hold
    known_blocks: int = 0  # of its blocks, those that are known by their hashes
    cached_tokens: int = 0  # of its prompt, those found in the cache at first
    recomputed: int = 0  # tokens that it lost when it was sent back, of all times
    generated_before: int = 0  # when it came last

    def __post_init__(self) -> None:
        assert self.can_merge or self.can_mix, f"job {self.id} can run in no mode"
        assert self.weight > 0, f"job {self.id} has no share"
        self.unfilled_tokens = self.prompt_tokens
        self.kv_tokens = self.most_tokens

    @property
    def tokens(self) -> int:
        """Of its prompt and its answer so far."""
        return self.prompt_tokens + self.generated

    @property
    def most_tokens(self) -> int:
        """Of its prompt and its answer, when it has all that it may have."""
        return self.prompt_tokens + self.max_tokens

    def move(self, event: JobEvent) -> None:
        """Change the state by the table. Raises IllegalMove and changes nothing."""
        state = MOVES[self.state].get(event)
        if state is None:
            raise IllegalMove(self, event)
        self.state = state
        self.is_live = state is JobState.RUNNING or state is JobState.PARKED
