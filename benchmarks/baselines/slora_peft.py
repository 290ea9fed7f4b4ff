"""slora-peft: S-LoRA's own baseline for a server that merges (arXiv 2311.03285).

Read in `slora/server/router/peft_req_queue.py` of S-LoRA/S-LoRA. The oldest waiting
job's adapter is merged and its jobs run until none of them is left; others of it may
join, but no more as soon as over 30 jobs of other adapters wait ahead of them.

Departures: prompts are computed in chunks beside decoding, as for every policy here.
When the oldest job must not be merged, a mixed step serves it, and whoever may join.
"""

from dataclasses import replace
from itertools import islice

from scheduler.policy import Aside, Load, Plan, View, merge_first, merged

GIVE_UP = 30


class SloraPeft:
    def choose(self, view: View) -> Plan:
        turn = view.turn
        current = view.loads.get(turn.generation or "") if turn is not None else None
        if current is not None and current.live:
            plan = merged(current.generation, "not drained yet")
            return (
                replace(plan, aside=Aside.STREAMS) if _gives_up(view, current) else plan
            )
        return merge_first(view, view.backlog.by_age(), "oldest job first")


def _gives_up(view: View, current: Load) -> bool:
    """Nobody may join any more."""
    ahead = islice(view.backlog.waiting.values(), GIVE_UP + 1)
    seen = [job.generation for job in ahead]
    return len(seen) > GIVE_UP and current.generation not in seen
