"""Building: slots that affinity has built between the steps of a mixed turn."""

from scheduler.costs import Mode, StepShape
from scheduler.policy import Plan, View, mixed


def is_building(view: View, turn: Plan) -> bool:
    going = turn.build_ahead
    return (
        going is not None
        and going in view.loads
        and going not in view.warm
        and bool(view.front.generations)
    )


def without_stall(view: View, plan: Plan) -> Plan:
    """`plan`; or if it needs a swap longer than a step while streams run, a mixed turn
    that serves everybody while the slot is built between its steps."""
    if plan.generation is None or plan.generation in view.warm:
        return plan
    if not view.builds_ahead:
        return plan  # it would be waited for in vain
    front = view.front
    shape = StepShape(Mode.MIXED, len(front.generations), front.adapters, front.ranks)
    step = view.costs.step_s(shape)
    rank = view.loads[plan.generation].rank
    streams = any(view.loads[name].live for name in front.generations)
    if not streams or view.costs.swap_s(warm=False, rank=rank) <= step:
        return plan
    return mixed(plan.why, build_ahead=plan.generation)
