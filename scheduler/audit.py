"""Audit: asserts that a backlog's indexes and counts agree. For tests and idle ones."""

from collections import Counter

from scheduler.backlog import Backlog


def audit(backlog: Backlog) -> None:
    groups = backlog.groups.values()
    waiting = {job.id for group in groups for job in group.queue}
    live = {job.id for group in groups for job in group.holders}
    assert waiting == set(backlog.waiting), "waiting index differs"
    assert live == set(backlog.live), "live index differs"
    for job in backlog.waiting.values():
        assert not job.is_live, f"{job} is listed as waiting"
    for job in backlog.live.values():
        assert job.is_live, f"{job} is live"
    queued = Counter(q for job in backlog.waiting.values() for q in job.queues)
    assert queued == backlog.queued, "waiting jobs of a queue are counted wrongly"
    for group in groups:
        assert (group.waiting, group.live, group.jobs) == (
            len(group.queue),
            len(group.holders),
            len(group.queue) + len(group.holders),
        ), f"jobs of {group.generation} are counted wrongly"
    firsts = [(next(group.in_order()).order, group) for group in groups]
    sizes = [(-group.jobs, first, group.generation) for first, group in firsts]
    assert sorted(sizes) == [group.size_key for group in backlog.by_size()], (
        "sizes differ"
    )
    ages = sorted(size[1:] for size in sizes)
    assert ages == [group.age_key for group in backlog.by_age()], "ages differ"
    jobs = [job for group in groups for job in group.in_order()]
    filling = {job.id for job in jobs if job.id in live and not job.generated}
    assert filling == set(backlog.live_unanswered), "jobs without a first token differ"
    for found, expected in (
        (backlog.unanswered, sum(not job.generated for job in jobs)),
        (backlog.unfilled_tokens, sum(job.unfilled_tokens for job in jobs)),
        (backlog.unfilled_tokens, sum(group.unfilled_tokens for group in groups)),
        (
            backlog.waiting_kv_tokens,
            sum(job.kv_tokens for job in backlog.waiting.values()),
        ),
        (
            sum(group.context_tokens for group in groups),
            sum(job.computed for job in backlog.live.values()),
        ),
        (
            sum(group.preempted for group in groups),
            sum(job.generated > 0 for job in backlog.waiting.values()),
        ),
        (
            sum(group.remaining_tokens for group in groups),
            sum(job.max_tokens - job.generated for job in jobs),
        ),
        (
            len(backlog.mixable_queue) + len(backlog.mixable_holders),
            sum(job.can_mix for job in jobs),
        ),
    ):
        assert found == expected, f"a count is {found}, not {expected}"
