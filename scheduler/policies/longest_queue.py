"""longest-queue: serve the resident until it has no jobs, then the longest queue.

Exhaustive polling (Takagi 1988): few swaps and full batches, and no bound on a wait.
"""

from scheduler.policy import Plan, View, merged


class LongestQueue:
    def choose(self, view: View) -> Plan:
        runnable = view.runnable()
        if view.turn is not None:
            for load in runnable:
                if load.generation == view.turn.generation:
                    return merged(load.generation, "not drained yet")
        longest = max(runnable, key=lambda load: (load.jobs, -load.oldest_arrival))
        return merged(longest.generation, f"longest queue, {longest.jobs} jobs")
