"""What the costs benchmark watches of the engine, told from the simulator's account."""

import pytest

from benchmarks.costs import CLOSED, COMPARED, make_trace, on_simulator
from benchmarks.machines import machine, taught
from benchmarks.setups import SLOTS
from benchmarks.watched import AtSpeed, Watched
from scheduler import Job, StepShape
from scheduler.simulate import simulate

H100 = machine("h100-8b")


@pytest.mark.parametrize("policy", COMPARED)
def test_the_watched_scheduler_tells_what_the_simulator_tells(policy: str) -> None:
    trace = make_trace(1, 40, CLOSED, 0.5)
    jobs = [
        Job(
            id=request.id,
            generation=request.adapter or "base",
            prompt_tokens=request.prompt_tokens,
            max_tokens=request.output_tokens,
            arrival=0.0,
            rank=16,
        )
        for request in trace.requests
    ]
    watched = Watched(policy, taught(H100))

    run = simulate(watched, jobs, H100, slots=SLOTS, clients=trace.concurrency)

    assert watched.run.arrived_at == run.arrived_at
    assert watched.run.finished_at == run.finished_at
    assert watched.run.tokens == run.tokens
    assert watched.run.busy_s == pytest.approx(run.busy_s)
    # The simulator adds a slot that is built beside a step after the step's report.
    assert watched.run.swap_s == pytest.approx(run.swap_s, rel=0.2)
    assert watched.run.first_token_at == run.first_token_at


def test_a_trace_served_twice_on_the_simulator_tells_the_same() -> None:
    trace = make_trace(1, 40, CLOSED, 0.5)
    costs = taught(H100)

    one, other = (
        on_simulator(trace, "affinity", costs, costs).told() for _ in range(2)
    )

    assert one == other
    assert one.tokens_per_s > 0


@pytest.mark.parametrize("policy", COMPARED)
def test_the_simulator_follows_an_engine_whose_machine_is_slower_than_its_costs(
    policy: str,
) -> None:
    class Slow:
        def step_s(self, shape: StepShape) -> float:
            return 1.5 * H100.step_s(shape)

        def swap_s(self, *, warm: bool, rank: int = 0) -> float:
            return 3.0 * H100.swap_s(warm=warm, rank=rank)

    trace, costs = make_trace(1, 40, CLOSED, 0.5), taught(H100)
    engine = on_simulator(trace, policy, costs, Slow())

    simulator = on_simulator(trace, policy, costs, AtSpeed(costs, engine))

    assert simulator.told().tokens_per_s == pytest.approx(
        engine.told().tokens_per_s, rel=0.05
    )
