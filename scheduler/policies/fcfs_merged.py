"""fcfs-merged: merge whatever the oldest job asks for. The other honest baseline.

When the oldest job must not be merged, a mixed step serves it, and whoever may join.
"""

from scheduler.policy import Plan, View, merge_first


class FcfsMerged:
    def choose(self, view: View) -> Plan:
        return merge_first(view, view.backlog.by_age(), "oldest job first")
