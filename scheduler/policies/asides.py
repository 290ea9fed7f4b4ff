"""Asides: steps that affinity puts between those of a turn, which goes on after them.

For first tokens: mixed, with the streams that are due; or merged if the slot is built
and the generation's prompts make that the step that computes more. For streams that are
late: mixed, all of them and whoever else is live; or merged, the one served longest ago
alone. Beside a flood the flood sits out: it would be faster for every such step.
"""

from dataclasses import replace

from scheduler.costs import Mode, StepShape
from scheduler.job import BASE
from scheduler.policy import Aside, Load, Plan, View

PARKED = 0.5  # share of KV that newcomers may take by asides


def for_first_tokens(view: View, load: Load, why: str) -> Plan:
    """A step for those who have none, one of `load` among them."""
    why = f"{load.generation}: {why}"
    aside = Plan(mode=Mode.MIXED, why=why, first=due(view), aside=Aside.FIRST_TOKENS)
    if (load.generation == BASE and load.can_mix) or not load.can_merge:
        return aside
    alone = replace(aside, mode=Mode.MERGED, generation=load.generation, first=())
    if not load.can_mix:
        return alone
    if aside.first:
        return aside
    if load.generation == view.resident:
        return alone
    if load.generation not in view.warm:
        return aside
    front = view.front
    n, prompts = len(front.generations), _prompts(view, view.backlog.unfilled_tokens)
    shape = StepShape(Mode.MIXED, n, front.adapters, front.ranks, prompts)
    own, ours = min(load.jobs, view.max_batch), _prompts(view, load.unfilled_tokens)
    step = view.costs.step_s(StepShape(Mode.MERGED, own, 0, 0, ours))
    seconds = step + 2 * view.costs.swap_s(warm=True)
    is_better = (own + ours) * view.costs.step_s(shape) > (n + prompts) * seconds
    return alone if is_better else aside


def newcomers_call(view: View, generation: str) -> bool:
    """Whether first tokens of others are worth a step aside from a merged turn."""
    newcomer = view.newcomer
    own = view.loads[generation]
    others = view.backlog.unanswered - own.unanswered
    if newcomer is None or not newcomer.can_mix or not others:
        return False
    if len(view.backlog) <= view.max_batch:
        return True
    prompts = view.backlog.unfilled_tokens - own.unfilled_tokens
    fills = prompts >= view.prefill_tokens or others >= view.max_batch
    return fills and view.free_kv_tokens >= view.kv_tokens * (1.0 - PARKED)


def alone(view: View, plan: Plan, spent_s: float) -> tuple[str, float]:
    """Whose streams the plan gives a step aside that no other mode could, and what it
    should take together with `spent_s`; or nobody."""
    if plan.aside is not Aside.STREAMS or plan.generation is None:
        return "", 0.0
    load = view.loads[plan.generation]
    return (
        ("", 0.0) if load.can_mix else (load.generation, spent_s + _own_s(view, load))
    )


def goes_on(view: View, name: str, spent_s: float) -> Plan | None:
    """Another step aside for late streams that are served merged only, if such swaps
    have overdrawn their budget: so many in a row as take no longer than the one step
    that bounds are made of."""
    load = view.loads.get(name)
    if load is None or not load.live or view.swap_budget_s >= 0.0:
        return None
    if name != view.resident or not view.streams.late:
        return None
    shape = StepShape(Mode.MERGED, view.max_batch, 0, 0, view.prefill_tokens)
    if spent_s + _own_s(view, load) > view.costs.step_s(shape):
        return None
    return _for_own(load)


def _own_s(view: View, load: Load) -> float:
    """Seconds of a merged step for its streams."""
    prompts = view.prompts_beside(load.live)
    return view.costs.step_s(StepShape(Mode.MERGED, load.live, 0, 0, prompts))


def _for_own(load: Load) -> Plan:
    return Plan(
        mode=Mode.MERGED,
        generation=load.generation,
        why=f"{load.generation}: its streams must go on",
        aside=Aside.STREAMS,
    )


def for_streams(
    view: View, names: tuple[str, ...], turn: str | None
) -> tuple[Plan, int, float]:
    """A step for the streams of `names`, the first one among them, in the merged turn
    of `turn`; the tokens and the seconds that it should bring and take."""
    load = view.loads[names[0]]
    plan = _for_own(load)
    seconds = _own_s(view, load) + 2 * view.costs.swap_s(warm=True)
    if not load.can_mix:
        return plan, load.live, seconds
    flood = None if turn is None else view.loads[turn]
    if flood is not None and flood.jobs <= view.max_batch:
        flood = None
    out = 0 if flood is None else flood.live
    n = max(min(len(view.backlog.live) - out, view.max_batch), 1)
    adapters = min(view.streams.streaming, n)
    prompts = view.prompts_beside(n)
    shape = StepShape(Mode.MIXED, n, adapters, adapters * load.rank, prompts)
    beside = view.costs.step_s(shape)
    if (
        load.generation in view.warm
        and load.can_merge
        and load.live * beside > n * seconds
    ):
        return plan, load.live, seconds
    mixed = replace(
        plan,
        mode=Mode.MIXED,
        generation=None,
        first=seated(view, names),
        without=flood.generation if flood else None,
    )
    return mixed, n, beside


def due(view: View) -> tuple[str, ...]:
    return seated(view, view.streams.due)


def seated(view: View, names: tuple[str, ...]) -> tuple[str, ...]:
    """Each as often as it has jobs, if it may be mixed."""
    loads = [view.loads[name] for name in names]
    return tuple([x.generation for x in loads if x.can_mix for _ in range(x.jobs)])


def _prompts(view: View, unfilled_tokens: int) -> int:
    return min(unfilled_tokens, view.prefill_tokens)
