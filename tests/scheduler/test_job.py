"""Job: the table of moves, walked whole."""

import pytest

from scheduler import Job
from scheduler.job import MOVES, IllegalMove, JobEvent, JobState
from tests.scheduler.traces import job

PATHS: dict[JobState, list[JobEvent]] = {
    JobState.WAITING: [],
    JobState.RUNNING: [JobEvent.ADMIT],
    JobState.PARKED: [JobEvent.ADMIT, JobEvent.PARK],
    JobState.PREEMPTED: [JobEvent.ADMIT, JobEvent.PREEMPT],
    JobState.DONE: [JobEvent.ADMIT, JobEvent.FINISH],
    JobState.CANCELLED: [JobEvent.CANCEL],
    JobState.FAILED: [JobEvent.FAIL],
}

LEGAL: set[tuple[JobState, JobEvent, JobState]] = {
    (JobState.WAITING, JobEvent.ADMIT, JobState.RUNNING),
    (JobState.RUNNING, JobEvent.PARK, JobState.PARKED),
    (JobState.PARKED, JobEvent.RESUME, JobState.RUNNING),
    (JobState.RUNNING, JobEvent.PREEMPT, JobState.PREEMPTED),
    (JobState.PARKED, JobEvent.PREEMPT, JobState.PREEMPTED),
    (JobState.PREEMPTED, JobEvent.ADMIT, JobState.RUNNING),
    (JobState.PREEMPTED, JobEvent.FINISH, JobState.DONE),
    (JobState.PREEMPTED, JobEvent.CANCEL, JobState.CANCELLED),
    (JobState.PREEMPTED, JobEvent.FAIL, JobState.FAILED),
    (JobState.RUNNING, JobEvent.FINISH, JobState.DONE),
    (JobState.PARKED, JobEvent.FINISH, JobState.DONE),
    (JobState.WAITING, JobEvent.CANCEL, JobState.CANCELLED),
    (JobState.RUNNING, JobEvent.CANCEL, JobState.CANCELLED),
    (JobState.PARKED, JobEvent.CANCEL, JobState.CANCELLED),
    (JobState.WAITING, JobEvent.FAIL, JobState.FAILED),
    (JobState.RUNNING, JobEvent.FAIL, JobState.FAILED),
    (JobState.PARKED, JobEvent.FAIL, JobState.FAILED),
}

ILLEGAL = [
    (state, event)
    for state in JobState
    for event in JobEvent
    if (state, event) not in {(before, event) for before, event, _ in LEGAL}
]


def job_in(state: JobState) -> Job:
    """A job that went the lawful way to `state`, half through its prompt."""
    it = job(7, prompt=10, tokens=5, arrival=3.0)
    for event in PATHS[state]:
        it.move(event)
    it.computed, it.generated = 4, 2
    return it


def fields(it: Job) -> tuple[object, ...]:
    return tuple(getattr(it, name) for name in Job.__slots__)


def test_the_table_has_the_lawful_moves_and_no_other() -> None:
    table = {(s, e, after) for s, row in MOVES.items() for e, after in row.items()}

    assert set(MOVES) == set(JobState)
    assert table == LEGAL


@pytest.mark.parametrize(("before", "event", "after"), sorted(LEGAL, key=str))
def test_a_lawful_move_changes_the_state_and_nothing_else(
    before: JobState, event: JobEvent, after: JobState
) -> None:
    it = job_in(before)
    expected = job_in(before)
    expected.state = after
    expected.is_live = after in {JobState.RUNNING, JobState.PARKED}

    it.move(event)

    assert fields(it) == fields(expected)


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_an_illegal_move_raises_and_changes_nothing(
    state: JobState, event: JobEvent
) -> None:
    it = job_in(state)
    before = fields(it)

    with pytest.raises(IllegalMove) as raised:
        it.move(event)

    assert str(raised.value) == f"job 7 is {state.value} and cannot {event.value}"
    assert fields(it) == before


def test_a_job_knows_what_it_may_need_at_most() -> None:
    assert job(1, prompt=10, tokens=5).most_tokens == 15


def test_a_job_that_could_run_in_no_mode_is_refused() -> None:
    with pytest.raises(AssertionError, match="job 1 can run in no mode"):
        job(1, can_merge=False, can_mix=False)


def test_a_job_has_its_whole_prompt_to_compute_at_first() -> None:
    assert job(1, prompt=10).unfilled_tokens == 10


def test_two_jobs_with_the_same_fields_are_two_jobs() -> None:
    assert job(1) != job(1)
