"""Streams: who has begun to answer, who had a token longest ago, and who is late.

An adapter has a part of the seats by weight among all that have jobs; one seat is
nobody's more than his part. A flood is an adapter with more jobs than there are seats.
Late are the streams

- of an adapter with no more jobs than its part, once they had no token for as long as a
  first one may take before it is overdue: what `gap_bound_s` rests on;
- of one with fewer jobs than its part (a quiet one), if a flood had a token since their
  last one: none of its streams is faster.

An adapter had its tokens when all its streams had one; those of a step in the air are
on their way, so that nobody is late for them. Knows no policy.
"""

import math
from collections.abc import Mapping

from scheduler.backlog import Backlog
from scheduler.group import Group
from scheduler.limits import SchedulerLimits
from scheduler.policy import StreamsView

_NOBODY = StreamsView((), (), (), 0)


class Streams:
    """Owned by the scheduler."""

    def __init__(self, backlog: Backlog, limits: SchedulerLimits) -> None:
        self._backlog = backlog
        self._max_batch = limits.max_batch
        self._patience_s = limits.patience_s
        # By generation that has streams, least recently served first: when that was,
        # by the number of the step and by the clock; infinity is in the air.
        self._served: dict[str, tuple[int, float]] = {}
        self._steps = 0
        self._flooded = 0  # number of the last step in which a flood had a token

    def __len__(self) -> int:
        """Generations with a stream."""
        return len(self._served)

    def serve(self, tokens: Mapping[str, int], at: float) -> int:
        """Each generation has so many tokens in a step that ends `at`: at infinity
        while it is in the air. Returns the number of the step."""
        self._steps += 1
        groups, served, now = self._backlog.groups, self._served, (self._steps, at)
        for name, n in tokens.items():
            group = groups[name]
            if n >= group.jobs - group.unanswered or name not in served:
                served.pop(name, None)
                served[name] = now
            if group.jobs > self._max_batch:
                self._flooded = self._steps
        return self._steps

    def land(self, number: int, now: float) -> None:
        """The step of that number ended now, and with it all before."""
        for name, (step, at) in reversed(self._served.items()):
            if at < math.inf:
                break
            if step <= number:
                self._served[name] = step, now

    def leave(self, group: Group) -> None:
        """One of its jobs has left."""
        if not group.streams:
            self._served.pop(group.generation, None)

    def view(self, now: float) -> StreamsView:
        if not self._served:
            return _NOBODY
        groups = self._backlog.groups
        part = self._max_batch / float(self._backlog.weight)
        is_flooded = next(self._backlog.by_size()).jobs > self._max_batch
        quiet, due, late = [], [], []
        for name, (step, at) in self._served.items():
            is_old = now - at > self._patience_s
            if not is_old and not is_flooded:
                break
            jobs, seats = groups[name].jobs, groups[name].weight * part
            if is_flooded and jobs < seats:
                quiet.append(name)
                if step <= self._flooded:
                    due.append(name)
                if is_old or step < self._flooded:
                    late.append(name)
            elif is_old and jobs <= max(seats, 1.0):
                due.append(name)
                late.append(name)
        return StreamsView(tuple(quiet), tuple(due), tuple(late), len(self._served))
