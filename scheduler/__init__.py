"""Which jobs run next, and how. Standard library only."""

from scheduler.costs import Costs, Mode, Shape
from scheduler.decision import Idle, Outcome, Recent, Step, Swap, Work
from scheduler.job import BASE, Job
from scheduler.policies import POLICIES
from scheduler.scheduler import BacklogFull, Scheduler

__all__ = [
    "BASE",
    "POLICIES",
    "BacklogFull",
    "Costs",
    "Idle",
    "Job",
    "Mode",
    "Outcome",
    "Recent",
    "Scheduler",
    "Shape",
    "Step",
    "Swap",
    "Work",
]
