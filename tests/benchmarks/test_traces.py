"""Traces: what a seed and the knobs promise."""

import math
from itertools import pairwise
from statistics import mean, pstdev
from typing import Any

import pytest

from benchmarks.traces import Trace, arrivals, generate, length

NAMES = [f"a{number}" for number in range(8)]


def trace(seed: int = 0, count: int = 4000, **knobs: Any) -> Trace:
    settings: dict[str, Any] = {
        "arrivals": arrivals("poisson:20"),
        "adapters": NAMES,
        "prompt": length("fixed:80"),
        "output": length("uniform:10,20"),
    }
    return generate(seed, count, **{**settings, **knobs})


def gaps(made: Trace) -> list[float]:
    return [b.at_s - a.at_s for a, b in pairwise(made.requests)]


def test_the_same_seed_gives_the_same_trace_and_another_seed_another() -> None:
    assert trace(seed=7) == trace(seed=7)
    assert trace(seed=7).requests != trace(seed=8).requests


def test_a_higher_rate_asks_for_the_same_adapters_sooner() -> None:
    slow, fast = trace(), trace(arrivals=arrivals("poisson:40"))

    assert [r.adapter for r in slow.requests] == [r.adapter for r in fast.requests]
    assert fast.requests[-1].at_s < slow.requests[-1].at_s


def test_zipf_of_zero_is_even_and_of_two_is_skewed() -> None:
    even, skewed = trace(zipf=0.0), trace(zipf=2.0)

    assert even.top_share == pytest.approx(1 / 8, abs=0.02)
    assert even.effective_adapters == pytest.approx(8, abs=0.1)
    assert skewed.top_share == pytest.approx(
        1 / sum(i**-2 for i in range(1, 9)), abs=0.03
    )
    assert skewed.effective_adapters < 4


def test_staying_always_keeps_one_adapter() -> None:
    made = trace(stay=1.0)

    assert len({r.adapter for r in made.requests}) == 1
    assert (made.top_share, made.effective_adapters) == (1.0, 1.0)


def test_staying_makes_runs_longer_but_leaves_the_popularity() -> None:
    made = trace(stay=0.8, count=20_000)
    kept = mean(a.adapter == b.adapter for a, b in pairwise(made.requests))

    assert kept == pytest.approx(0.8 + 0.2 / 8, abs=0.02)
    assert made.effective_adapters == pytest.approx(8, abs=0.2)


def test_the_base_gets_its_share_and_without_adapters_everything() -> None:
    some = trace(base_share=0.3)

    assert mean(r.adapter is None for r in some.requests) == pytest.approx(
        0.3, abs=0.03
    )
    assert {r.adapter for r in trace(adapters=()).requests} == {None}
    assert {r.adapter for r in trace(base_share=1.0).requests} == {None}


@pytest.mark.parametrize(("spec", "cv"), [("poisson:20", 1), ("gamma:20,3", 3)])
def test_arrivals_have_the_rate_and_the_burstiness_asked_for(
    spec: str, cv: float
) -> None:
    found = gaps(trace(arrivals=arrivals(spec), count=20_000))

    assert mean(found) == pytest.approx(1 / 20, rel=0.1)
    assert pstdev(found) / mean(found) == pytest.approx(cv, rel=0.1)


def test_on_and_off_have_a_rate_each() -> None:
    made = trace(arrivals=arrivals("onoff:40,5,2,8"), count=10_000)
    cycles = made.requests[-1].at_s / 10
    on = sum(r.at_s % 10 < 2 for r in made.requests)

    assert on / (cycles * 2) == pytest.approx(40, rel=0.05)
    assert (len(made.requests) - on) / (cycles * 8) == pytest.approx(5, rel=0.05)


def test_a_closed_loop_is_due_at_once_and_has_its_clients() -> None:
    made = trace(arrivals=arrivals("closed:16"))

    assert made.concurrency == 16
    assert {r.at_s for r in made.requests} == {0.0}


def test_lengths_are_as_asked_for() -> None:
    made = trace(prompt=length("lognormal:80,0.5,512"))
    logs = [math.log(r.prompt_tokens) for r in made.requests]

    assert {r.output_tokens for r in made.requests} == set(range(10, 21))
    assert mean(logs) == pytest.approx(math.log(80), abs=0.05)
    assert pstdev(logs) == pytest.approx(0.5, abs=0.05)
    assert max(r.prompt_tokens for r in made.requests) <= 512
