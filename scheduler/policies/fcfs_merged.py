"""fcfs-merged: merge whatever the oldest job asks for. The other honest baseline."""

from scheduler.policy import Plan, View, merged


class FcfsMerged:
    def choose(self, view: View) -> Plan:
        first = min(view.runnable(), key=lambda load: load.oldest_arrival)
        return merged(first.generation, "oldest job first")
