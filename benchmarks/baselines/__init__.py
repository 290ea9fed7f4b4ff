"""BASELINES: policies of the literature, to measure the scheduler's own against.

On the same public `Policy`; none is offered to operators. `CONTENDERS` are all there
are, the scheduler's own first.
"""

from benchmarks.baselines.dlora import Dlora
from benchmarks.baselines.dlora_credits import DloraCredits
from benchmarks.baselines.slora_peft import SloraPeft
from benchmarks.baselines.vtc import Vtc
from scheduler import POLICIES
from scheduler.policy import Policy

BASELINES: dict[str, type[Policy]] = {
    "slora-peft": SloraPeft,
    "dlora": Dlora,
    "dlora-credits": DloraCredits,
    "vtc": Vtc,
}

CONTENDERS = POLICIES | BASELINES
