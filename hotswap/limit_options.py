"""Limit options: the section [limits] of the configuration, what one client may take
from the others. `[schedule] max_waiting` stands beside them: for all who wait.
"""

from typing import Annotated

from msgspec import Meta, Struct

from hotswap.errors import StartFailed
from hotswap.options import Auto, Count, unless_auto

Seconds = Annotated[float, Meta(gt=0, le=1e6)]


class LimitsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Bytes of one body; a larger one is 413.
    body_bytes: Count = 10_000_000
    # Bytes of all bodies together that have not come whole; beyond it the largest one
    # gives way: 429.
    all_bodies_bytes: Count = 64 << 20
    # A body that has not come whole after so long is 408.
    body_s: Seconds = 60.0
    # Connections at once; "auto" is what the descriptors allow, 4096 at most. For one
    # more the one that is idle longest is closed, or else one whose body is late; or
    # the newcomer is 503.
    connections: Count | Auto = "auto"
    # A request's head, from the connection or its first byte, that has not come whole
    # after so long is 408.
    head_s: Seconds = 20.0
    # A body is late that has not come whole after so long: 408 if others need the
    # connection.
    late_body_s: Seconds = 5.0
    # A connection may be idle for so long between two requests; proxies usually keep
    # theirs for 60 s.
    idle_s: Seconds = 75.0
    # A client that reads nothing of its answer for so long is left.
    write_s: Seconds = 60.0
    # The rest of a body that nobody wants is waited for so long.
    linger_s: Seconds = 5.0
    # Jobs of one request (its prompts times `n`); more are 400. "auto" is what one
    # adapter and one key may have waiting.
    jobs_per_request: Count | Auto = "auto"
    # Waiting jobs of one adapter; more are 429. "auto" is as many as `max_waiting`
    # leaves free: one adapter alone has half of the queue, and none fills it.
    waiting_per_adapter: Count | Auto = "auto"
    # The same of one API key, where there are keys.
    waiting_per_key: Count | Auto = "auto"


DEFAULTS = LimitsConfig()


def check(limits: LimitsConfig, max_waiting: int) -> None:
    """Raises StartFailed for one that could never be reached, beside another."""
    most_of_a_body = limits.all_bodies_bytes
    if limits.body_bytes > most_of_a_body:
        raise StartFailed(
            f"limits.body_bytes: {limits.body_bytes} is more than "
            f"limits.all_bodies_bytes = {most_of_a_body}"
        )
    for key in ("waiting_per_adapter", "waiting_per_key"):
        most = unless_auto(getattr(limits, key))
        if most is not None and most > max_waiting:
            raise StartFailed(
                f"limits.{key}: {most} is more than schedule.max_waiting = "
                f"{max_waiting}"
            )
        jobs, room = unless_auto(limits.jobs_per_request), _room(most, max_waiting)
        if jobs is not None and jobs > room:
            raise StartFailed(
                f"limits.jobs_per_request: {jobs} is more than the {room} that may "
                f"wait by limits.{key}"
            )


def jobs_per_request(limits: LimitsConfig, max_waiting: int) -> int:
    """Of one request, at most: never more than may wait together."""
    jobs = unless_auto(limits.jobs_per_request)
    if jobs is not None:
        return jobs
    queues = limits.waiting_per_adapter, limits.waiting_per_key
    return min(_room(unless_auto(most), max_waiting) for most in queues)


def _room(most: int | None, max_waiting: int) -> int:
    """Jobs that may wait in one queue of an empty server. None: by what is free."""
    return (max_waiting + 1) // 2 if most is None else most
