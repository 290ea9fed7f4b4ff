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
    """`plan`; or if it needs a swap longer than a step while streams run, or one after
    which first tokens come later than from a mixed step, a mixed turn that serves
    everybody while the slot is built between its steps."""
    if plan.generation is None or plan.generation in view.warm:
        return plan
    if not view.builds_ahead:
        return plan  # it would be waited for in vain
    front, load, costs = view.front, view.loads[plan.generation], view.costs
    if not front.generations:
        return plan
    shape = StepShape(Mode.MIXED, len(front.generations), front.adapters, front.ranks)
    swap = costs.swap_s(warm=False, rank=load.rank)
    if any(view.loads[name].live for name in front.generations):
        is_sooner = swap > costs.step_s(shape)
    else:
        prompts = min(view.backlog.unfilled_tokens, view.prefill_tokens)
        own = min(load.unfilled_tokens, view.prefill_tokens)
        n = min(load.jobs, view.max_batch)
        alone = costs.step_s(StepShape(Mode.MERGED, n, 0, 0, own))
        beside = costs.step_s(shape._replace(prefill_tokens=prompts))
        is_sooner = swap + alone > beside
    return mixed(plan.why, build_ahead=load.generation) if is_sooner else plan
