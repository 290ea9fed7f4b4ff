"""fcfs-mixed: never merge. What every multi-LoRA server does; the baseline."""

from scheduler.policy import Plan, View, mixed


class FcfsMixed:
    def choose(self, view: View) -> Plan:
        return mixed("always mixed")
