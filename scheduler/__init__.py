"""Which jobs run next, and how. Standard library only. Open `scheduler` first.

job, group, backlog     a job and its lawful moves; unfinished jobs by generation
audit, census           asserts that the backlog's counts agree; whose jobs there are
policy, policies        what a policy sees and answers; affinity is the default
viewer                  puts together what it sees
decision                the answer: a step, or idle; and the outcome reported
batch_builder, seats    who takes part in a step, within the limits
waits, streams          whose first token, whose next token must not wait longer
preemption              who gives KV up when it is short, and for whom
flights                 what is counted on while a step is in the air
kv_cache                who holds which blocks of the KV
block_pool, free_runs   the blocks: held, free, found again by a hash
accounts, deficits      what time was charged to whom; a fair share for each generation
costs, estimator        seconds of steps and swaps, learned; lengths: of answers
outlook                 the bounds and expectations that are shown
simulate, arrivals      the same scheduler on a virtual clock
simulated_engine        what runs its steps there
routing                 which replica of a fleet a request goes to
fleet                   many simulated replicas, and who chooses among them
"""

from scheduler.backlog import BacklogFull
from scheduler.costs import Costs, Mode, StepShape
from scheduler.decision import Idle, Outcome, Queued, Recent, Step, Swap, Work
from scheduler.job import BASE, Job
from scheduler.limits import SchedulerLimits
from scheduler.policies import POLICIES
from scheduler.scheduler import Scheduler

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
    "Queued",
    "Recent",
    "Scheduler",
    "Step",
    "StepShape",
    "Swap",
    "Work",
]
