"""The clairvoyant's plan: never beaten, and right where it can be told by hand."""

from itertools import product

import pytest

from benchmarks.baselines import CONTENDERS
from benchmarks.clairvoyant import Clairvoyant, Request, make_burst, play
from benchmarks.machines import machine
from scheduler import Mode, StepShape

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["this", "h100-8b"])
@pytest.mark.parametrize("seed", range(6))
def test_no_policy_does_better_than_the_one_who_knows_the_future(
    name: str, seed: int
) -> None:
    burst, table = make_burst(seed), machine(name)

    best = Clairvoyant(burst, table).best()

    for policy, told in product(CONTENDERS, (False, True)):
        found = play(policy, burst, table, told=told)
        assert best.total <= found.total * (1 + 1e-9), policy
        assert best.latency <= found.latency * (1 + 1e-9), policy


def test_the_best_plan_for_one_token_each_is_one_mixed_step() -> None:
    table = machine("this")
    burst = [Request(0, 10, 1), Request(1, 10, 1)]

    best = Clairvoyant(burst, table).best()

    step_s = table.step_s(StepShape(Mode.MIXED, 2, 2, 32, 20, 0))
    assert best.total == pytest.approx(step_s)


def test_the_best_plan_for_a_long_answer_builds_its_slot_once_and_stays() -> None:
    table = machine("h100-8b")

    best = Clairvoyant([Request(0, 10, 12)], table).best()

    shapes = [StepShape(Mode.MERGED, 1, 1, 16, 10, 0)]
    shapes += [StepShape(Mode.MERGED, 1, 1, 16, 0, 10 + n) for n in range(11)]
    steps_s = sum(table.step_s(shape) for shape in shapes)
    assert best.total == pytest.approx(table.swap_s(warm=False, rank=16) + steps_s)
    assert best.latency == pytest.approx(best.total)
