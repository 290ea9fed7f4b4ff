"""dlora-credits: `dlora` with credits that act.

As published, an adapter that is left out is rich enough only after some 5,500 steps:
longer than any trace here. A thousandth of that makes it the fair policy it means to
be, and the harder one to beat.
"""

from benchmarks.baselines.dlora import Dlora


class DloraCredits(Dlora):
    def __init__(self) -> None:
        super().__init__(fire=10.0)
