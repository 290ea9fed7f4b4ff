"""affinity: the default. Merge when measured costs say that it pays, or else mix.

Each plan is scored by useful tokens per second net of its swap, over the steps it is
expected to last, and with the prompts that come with so many rows at the pace of late:
they cost more beside the weights, too. Comparing two plans is then the rule of the
design,

    min(n_a, B) / min(n, B)  >=  (T_m + T_sw / N) / T_u(n, G)

and the turn changes for a clear gain only. Four things bind the choice:

- A merged turn goes to a generation that still has some of its share of time; a mixed
  turn seats those first. See `scheduler.deficits`.
- A cold swap that is no must waits until the swap budget has room for it.
- First tokens do not wait for turns. A job whose patience or deadline is over is served
  in a step aside, oldest first, after which the turn goes on, as both flips are warm:
  mixed, or merged if its slot is built and its generation's prompts make that the step
  that computes more. So are newcomers of other generations while a batch has room for
  everybody, or when their prompts fill a step, unless parked jobs hold half of the KV.
- Streams do not wait for turns, either. Those that are late (`scheduler.streams`) sit
  first in a mixed step, or have a step aside from a merged turn; beside a flood what
  these take is part of the price of merging the flood.

Generations that are served merged only take part in all but the mixed plans; those that
must not be merged in all but the merged ones.
"""

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle, islice

from scheduler.costs import Mode, StepShape
from scheduler.policies.asides import (
    alone,
    due,
    for_first_tokens,
    for_streams,
    goes_on,
    newcomers_call,
)
from scheduler.policies.building import is_building, without_stall
from scheduler.policy import Bounds, Load, Plan, View, merged, mixed

CLEAR_GAIN = 1.05
CANDIDATES = 3
_LOOK = 64  # groups looked at for candidates: a decision must not grow with them


class Affinity:
    def __init__(self) -> None:
        self._was_overdue = False  # the last step went to an overdue first token
        # Who had the last step aside of its own, and seconds of such ones in a row.
        self._alone: tuple[str, float] = "", 0.0

    def choose(self, view: View) -> Plan:
        name, spent_s = self._alone
        plan = goes_on(view, name, spent_s)
        if plan is None:
            plan, spent_s = self._choose(view), 0.0
        self._alone = alone(view, plan, spent_s)
        return plan

    def _choose(self, view: View) -> Plan:
        late = view.streams.late
        # Late streams and overdue first tokens that cannot share a step take turns.
        self._was_overdue = view.overdue is not None and not (
            self._was_overdue and late
        )
        if view.overdue is not None and self._was_overdue:
            return for_first_tokens(view, view.overdue, "its patience is over")
        turn = view.turn
        if turn is not None and is_building(view, turn):
            # A few steps; changing one's mind would waste them.
            best = plan = replace(turn, first=())
        else:
            best = _best(view)
            plan = without_stall(view, best)
        aside = _for_late(view, plan)
        if aside is not None:
            return aside
        if best.generation and not late and newcomers_call(view, best.generation):
            assert view.newcomer is not None
            return for_first_tokens(view, view.newcomer, "a newcomer")
        if plan.generation is None and view.streams.due:
            return replace(plan, first=due(view) + plan.first)
        return plan

    def wait_bound_s(self, bounds: Bounds) -> float:
        """Patience; a step that runs, and a slice of a slot built after it; then steps
        aside, every other of which brings the oldest unanswered job on by a step's
        prompt (the rest are for quiet adapters), and after each one for late streams at
        most."""
        turns = 2 * bounds.steps_ahead * (bounds.aside_s + bounds.step_s)
        return bounds.patience_s + 2 * bounds.step_s + turns

    def gap_bound_s(self, bounds: Bounds) -> float:
        """Patience; a step and a slice as above; then a step for each adapter whose
        streams had their last token before, the first of them among all, and after each
        one for overdue first tokens at most."""
        turns = bounds.streams * (bounds.aside_s + bounds.step_s)
        return bounds.patience_s + 2 * bounds.step_s + turns


def _best(view: View) -> Plan:
    """The plan with the most tokens per second; the turn's unless clearly beaten."""
    rows = [(_merged_rows(view, load), load) for load in _candidates(view)]
    rows = [(sequences, load) for sequences, load in rows if sequences]
    mixed_rate = _mixed_rate(view, serves_credit=bool(rows))
    scores = [(_merged_rate(view, load, n, mixed_rate), load) for n, load in rows]
    best_rate, best = max(
        scores, key=lambda score: (score[0], _age(score[1])), default=(0.0, None)
    )
    turn = view.turn
    keeps = None if turn is None else turn.build_ahead or turn.generation
    for rate, load in scores:
        if load.generation == keeps and best_rate < rate * CLEAR_GAIN:
            best_rate, best = rate, load
    is_merging = best is not None and best.generation == keeps
    gain = CLEAR_GAIN if is_merging else 1.0
    if turn is not None and keeps is None:
        gain = 1.0 / CLEAR_GAIN
    if best is None or mixed_rate > best_rate * gain:
        return _mixed_plan(
            view, f"mixed {mixed_rate:.0f} tokens/s, not {best_rate:.0f}"
        )
    return merged(
        best.generation, f"merged {best_rate:.0f} tokens/s, mixed {mixed_rate:.0f}"
    )


def _age(load: Load) -> tuple[int, int]:
    priority, number = load.first_order
    return -priority, -number


def _candidates(view: View) -> list[Load]:
    """Generations worth a look: that may be merged, can run, have time and a swap."""
    in_credit = view.in_credit
    chosen = _able(view, islice(view.backlog.by_size(), _LOOK))
    if not chosen and len(in_credit) <= _LOOK:
        chosen = _able(view, [view.loads[name] for name in in_credit])
    for name in (view.resident, *sorted(view.warm)):
        load = view.loads.get(name)
        if load is not None and load not in chosen and name in in_credit:
            chosen += _able(view, [load])
    if chosen or view.front.generations:
        return chosen
    # Only what is served merged can run: whoever has time left, or else anybody.
    able = [x for x in view.runnable(view.backlog.by_age()) if x.can_merge]
    with_credit = [x for x in able if x.generation in in_credit]
    return (with_credit or able)[:CANDIDATES]


def _able(view: View, loads: Iterable[Load]) -> list[Load]:
    """The first few that have time left, may be merged, can run and afford the swap."""
    able = (
        load
        for load in loads
        if load.can_merge
        and load.generation in view.in_credit
        and view.is_runnable(load)
        and _affords(view, load)
    )
    return list(islice(able, CANDIDATES))


def _affords(view: View, load: Load) -> bool:
    if load.generation in view.warm or load.generation == view.resident:
        return True
    return view.costs.swap_s(warm=False, rank=load.rank) <= view.swap_budget_s


def _merged_rows(view: View, load: Load) -> int:
    """Sequences of a step with `load` merged."""
    fitting = load.waiting
    if fitting and fitting * load.head_kv_tokens > view.free_kv_tokens:
        fitting = view.free_kv_tokens // load.head_kv_tokens
    if view.barred_after is not None:
        fitting = 0
    return min(load.live + fitting, view.max_batch)


def _merged_rate(view: View, load: Load, sequences: int, mixed_rate: float) -> float:
    """Tokens per second of a turn with `load` merged, its swap spread over the turn.

    If it loses to the mixed turn even with the swap for nothing, it is told so: how
    long the turn would last, which is dear to ask, decides nothing then.
    """
    context = load.context_tokens * min(load.live, sequences) // max(load.live, 1)
    prompts = view.prompts_beside(sequences)
    shape = StepShape(Mode.MERGED, sequences, 0, 0, prompts, context)
    seconds = max(view.costs.step_s(shape), 1e-9)
    is_lost = sequences / seconds * CLEAR_GAIN < mixed_rate
    if load.jobs > view.max_batch and view.streams.quiet:
        _, rows, aside_s = for_streams(view, view.streams.quiet, load.generation)
        sequences, seconds = sequences + rows, seconds + aside_s
    if load.generation != view.resident and not is_lost:
        warm = load.generation in view.warm
        swap_s = view.costs.swap_s(warm=warm, rank=load.rank)
        batches = max(1.0, load.jobs / view.max_batch)
        seconds += swap_s / (load.expected_steps * batches)
    return sequences / seconds


def _mixed_rate(view: View, *, serves_credit: bool) -> float:
    """Tokens per second of a mixed turn; 0 if there is none, or if it serves nobody who
    has time left while another plan does."""
    front = view.front
    sequences = len(front.generations)
    if not sequences:
        return 0.0
    if serves_credit and view.in_credit.isdisjoint(front.generations):
        names = islice(view.in_credit, _LOOK)
        if not any(_mixes(view, view.loads[name]) for name in names):
            return 0.0
    shape = StepShape(
        Mode.MIXED,
        sequences,
        front.adapters,
        front.ranks,
        view.prompts_beside(sequences),
        front.context_tokens,
    )
    return sequences / max(view.costs.step_s(shape), 1e-9)


def _mixes(view: View, load: Load) -> bool:
    return load.can_mix and view.is_runnable(load)


def _mixed_plan(view: View, why: str) -> Plan:
    """Mixed; when seats are short, those who have time left sit down in turns."""
    in_credit = view.in_credit
    if len(view.backlog) <= view.max_batch or len(in_credit) == len(view.loads):
        return mixed(why)
    names = (name for name in in_credit if _mixes(view, view.loads[name]))
    first = list(islice(names, view.max_batch))
    return Plan(
        mode=Mode.MIXED, why=why, first=tuple(islice(cycle(first), view.max_batch))
    )


def _for_late(view: View, plan: Plan) -> Plan | None:
    """A step aside for streams that are late, if the plan leaves the first one out."""
    late = view.streams.late
    if not late or plan.generation == late[0]:
        return None
    if plan.generation is None and view.loads[late[0]].can_mix:
        return None  # it sits first
    return for_streams(view, late, plan.generation)[0]
