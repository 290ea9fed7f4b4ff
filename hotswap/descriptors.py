"""Descriptors: how many connections a process may have beside its files."""

import os
import resource

_RESERVE = 64  # for adapters' files, the journal, the watch
_MOST_AT_ONCE = 512


def room(descriptors: int, used: int) -> tuple[int, int]:
    """How many connections there may be, and how many may come at once on top."""
    free = max(descriptors - used, 4)
    free -= min(_RESERVE, free // 2)
    at_once = min(max(free // 4, 1), _MOST_AT_ONCE)
    return max(free - at_once, 1), at_once


def descriptors() -> int:
    """How many this process may have open; the soft limit is raised to the hard one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):  # a system with a limit of its own below "none"
        return soft
    return hard if hard != resource.RLIM_INFINITY else 1 << 20


def open_now() -> int:
    """How many it has open."""
    try:
        return len(os.listdir("/dev/fd"))
    except OSError:
        return _RESERVE
