"""POLICIES: every policy by the name that the configuration uses. Listed here alone.

affinity                    the default; building and asides are parts of it
fcfs_mixed, fcfs_merged, longest_queue
                            baselines
"""

from scheduler.policies.affinity import Affinity
from scheduler.policies.fcfs_merged import FcfsMerged
from scheduler.policies.fcfs_mixed import FcfsMixed
from scheduler.policies.longest_queue import LongestQueue
from scheduler.policy import Policy

POLICIES: dict[str, type[Policy]] = {
    "affinity": Affinity,
    "fcfs-mixed": FcfsMixed,
    "fcfs-merged": FcfsMerged,
    "longest-queue": LongestQueue,
}
