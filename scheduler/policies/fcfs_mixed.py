"""fcfs-mixed: never merge. What every multi-LoRA server does; the baseline.

The oldest jobs run, all in one batch. When the oldest of all is served merged only, its
generation runs merged.
"""

from scheduler.policy import Plan, View, by_age, mixed


class FcfsMixed:
    def choose(self, view: View) -> Plan:
        return by_age(view, "oldest job first, merged only") or mixed("always mixed")
