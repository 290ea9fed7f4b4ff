"""affinity: the default. Merge when measured costs say that it pays, or else mix.

Each plan is scored by useful tokens per second net of its swap, over the steps it is
expected to last. Comparing two plans is then the rule of the design,

    min(n_a, B) / min(n, B)  >=  (T_m + T_sw / N) / T_u(n, G)

The left-hand plan is chosen only for a clear gain over the turn that runs. A job that
has gone without service for half of `max_wait_s` takes the choice away: only plans
that serve it at once are scored.
"""

from heapq import nlargest

from scheduler.backlog import Load
from scheduler.costs import Mode
from scheduler.job import BASE
from scheduler.policy import Plan, View, merged, mixed

CLEAR_GAIN = 1.05
CANDIDATES = 3


class Affinity:
    def choose(self, view: View) -> Plan:
        loads = view.runnable()
        oldest = min(loads, key=lambda load: load.oldest_served_at)
        waited = view.now - oldest.oldest_served_at
        is_overdue = waited > view.max_wait_s / 2
        if view.turn is not None and not is_overdue:
            going = view.turn.prepare
            if going is not None and going in view.loads and going not in view.warm:
                return view.turn  # a few steps; changing one's mind would waste them
        if is_overdue:
            merge = [oldest]
            why = f"{oldest.generation} went {waited:.2f} s without service"
        else:
            merge = nlargest(CANDIDATES, loads, key=_size)
            merge += [x for x in loads if _is_resident(view, x) and x not in merge]
            why = "most tokens per second"
        scores = [(_merged_rate(view, x), merged(x.generation, why)) for x in merge]
        if len(loads) > 1 or not _is_resident(view, loads[0]):
            scores.append((_mixed_rate(view, loads), mixed(why)))
        best_rate, best = max(scores, key=lambda scored: scored[0])
        for rate, plan in scores:
            if _continues(view, plan) and best_rate < rate * CLEAR_GAIN:
                best = plan
        return best if is_overdue else _without_stall(view, best)


def _size(load: Load) -> tuple[int, float]:
    return load.jobs, -load.oldest_arrival


def _is_resident(view: View, load: Load) -> bool:
    return view.turn is not None and view.turn.generation == load.generation


def _continues(view: View, plan: Plan) -> bool:
    turn = view.turn
    if turn is None:
        return False
    if turn.prepare is not None:  # the turn was on its way to this generation
        return turn.prepare == plan.generation
    return (turn.mode, turn.generation) == (plan.mode, plan.generation)


def _without_stall(view: View, plan: Plan) -> Plan:
    """`plan`; or if it needs a swap longer than a step while streams run, a mixed turn
    that serves everybody while the slot is built beside it."""
    if plan.generation is None or plan.generation in view.warm:
        return plan
    live = [load for load in view.loads.values() if load.live]
    sequences = min(sum(load.live for load in live), view.max_batch)
    step = view.costs.step_s(Mode.MIXED, sequences, len(live))
    if not live or view.costs.swap_s(warm=False) <= step:
        return plan
    return mixed(plan.why, prepare=plan.generation)


def _merged_rate(view: View, load: Load) -> float:
    """Tokens per second of a turn with `load` merged, its swap spread over the turn."""
    sequences = min(load.jobs, view.max_batch)
    step = view.costs.step_s(Mode.MERGED, sequences, 1)
    if _is_resident(view, load):
        return sequences / max(step, 1e-9)
    swap = view.costs.swap_s(warm=load.generation in view.warm)
    steps = max(1.0, load.remaining_tokens / load.jobs)
    if len(view.loads) > 1 and step > 0:  # the others will call before max_wait_s
        steps = min(steps, max(1.0, view.max_wait_s / 2 / step))
    return sequences / max(step + swap / steps, 1e-9)


def _mixed_rate(view: View, loads: list[Load]) -> float:
    sequences = min(sum(load.jobs for load in loads), view.max_batch)
    adapters = min(sum(load.generation != BASE for load in loads), sequences)
    return sequences / max(view.costs.step_s(Mode.MIXED, sequences, adapters), 1e-9)
