"""POLICIES: every policy by the name that the configuration uses."""

from collections.abc import Callable
from functools import partial

from scheduler.policies.affinity import Affinity
from scheduler.policies.dlora import Dlora
from scheduler.policies.fcfs_merged import FcfsMerged
from scheduler.policies.fcfs_mixed import FcfsMixed
from scheduler.policies.longest_queue import LongestQueue
from scheduler.policies.slora_peft import SloraPeft
from scheduler.policies.vtc import Vtc
from scheduler.policy import Policy

POLICIES: dict[str, Callable[[], Policy]] = {
    "affinity": Affinity,
    "fcfs-mixed": FcfsMixed,
    "fcfs-merged": FcfsMerged,
    "longest-queue": LongestQueue,
    "slora-peft": SloraPeft,
    "dlora": Dlora,
    "dlora-credits": partial(Dlora, fire=10.0),  # credits that work
    "vtc": Vtc,
}
