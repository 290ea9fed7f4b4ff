"""longest-queue: serve the resident until it has no jobs, then the longest queue.

Exhaustive polling (Takagi 1988): few swaps and full batches, and no bound on a wait.
When the longest queue must not be merged, a mixed step serves it, and whoever may join.
"""

from scheduler.policy import Plan, View, merge_first, merged


class LongestQueue:
    def choose(self, view: View) -> Plan:
        turn = view.turn
        current = view.loads.get(turn.generation or "") if turn is not None else None
        if current is not None and view.is_runnable(current):
            return merged(current.generation, "not drained yet")
        return merge_first(view, view.backlog.by_size(), "longest queue")
