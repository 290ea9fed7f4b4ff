"""[limits]: what cannot work is one line at the start; what follows from what."""

from typing import Any

import pytest

from hotswap import config
from hotswap.errors import StartFailed
from hotswap.limit_options import LimitsConfig, jobs_per_request

IMPOSSIBLE: dict[str, tuple[dict[str, Any], str]] = {
    "a body larger than all together": (
        {"body_bytes": 11, "all_bodies_bytes": 10},
        "limits.body_bytes: 11 is more than limits.all_bodies_bytes = 10",
    ),
    "a queue larger than the whole one": (
        {"waiting_per_adapter": 9},
        "limits.waiting_per_adapter: 9 is more than schedule.max_waiting = 8",
    ),
    "a key's queue larger than the whole one": (
        {"waiting_per_key": 9},
        "limits.waiting_per_key: 9 is more than schedule.max_waiting = 8",
    ),
    "a request larger than an adapter's queue": (
        {"jobs_per_request": 4, "waiting_per_adapter": 3},
        "limits.jobs_per_request: 4 is more than the 3 that may wait by "
        "limits.waiting_per_adapter",
    ),
    "a request larger than what is left free": (
        {"jobs_per_request": 5, "waiting_per_adapter": 8},
        "limits.jobs_per_request: 5 is more than the 4 that may wait by "
        "limits.waiting_per_key",
    ),
}


@pytest.mark.parametrize(("limits", "said"), IMPOSSIBLE.values(), ids=list(IMPOSSIBLE))
def test_a_limit_that_another_makes_impossible_ends_the_start_in_one_line(
    limits: dict[str, Any], said: str
) -> None:
    with pytest.raises(StartFailed) as failed:
        config.load(None, {"limits": limits, "schedule": {"max_waiting": 8}})

    assert str(failed.value) == said


@pytest.mark.parametrize("key", LimitsConfig.__struct_fields__)
@pytest.mark.parametrize("value", [0, -1, "many", float("inf")])
def test_no_limit_is_nothing_or_without_end(key: str, value: object) -> None:
    with pytest.raises(StartFailed, match=rf"limits\.{key}"):
        config.load(None, {"limits": {key: value}})


@pytest.mark.parametrize(
    ("limits", "jobs"),
    [
        ({}, 4),
        ({"waiting_per_adapter": 3}, 3),
        ({"waiting_per_adapter": 8, "waiting_per_key": 8}, 8),
        ({"jobs_per_request": 2}, 2),
    ],
)
def test_one_request_has_no_more_jobs_than_may_wait_together(
    limits: dict[str, Any], jobs: int
) -> None:
    assert jobs_per_request(LimitsConfig(**limits), 8) == jobs


def test_of_a_queue_for_one_job_a_request_may_have_it() -> None:
    assert jobs_per_request(LimitsConfig(), 1) == 1
