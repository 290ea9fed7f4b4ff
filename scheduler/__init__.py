"""Which jobs run next, and how. Standard library only."""

from scheduler.costs import Costs, Mode, StepShape
from scheduler.decision import Idle, Outcome, Recent, Step, Swap, Work
from scheduler.job import BASE, Job
from scheduler.limits import SchedulerLimits
from scheduler.policies import POLICIES
from scheduler.scheduler import BacklogFull, Scheduler

__all__ = [
    "BASE",
    "POLICIES",
    "BacklogFull",
    "Costs",
    "Idle",
    "Job",
    "SchedulerLimits",
    "Mode",
    "Outcome",
    "Recent",
    "Scheduler",
    "Step",
    "StepShape",
    "Swap",
    "Work",
]
