"""The factors that run unmerged lose nothing and are numbers, whatever the scale."""

import torch

from hotswap.adapters.factors import factors
from hotswap.adapters.generation import Delta
from tests.lora_layer import generation


def test_factors_keep_every_bit_of_an_ordinary_adapter() -> None:
    delta = generation("a", 4, "q").deltas["q"]
    small = Delta(a=delta.a / 8, b=delta.b / 8, scale=0.5)

    a, b = factors(small, torch.device("cpu"))

    assert torch.equal(a, small.a.double())
    assert torch.equal(b, small.b.t().double() / 2)


def test_factors_are_finite_wherever_the_update_is() -> None:
    tiny, huge = torch.full((2, 4), 2.0**-120), torch.full((3, 2), 2.0**120)

    for a, b, scale in ((tiny, huge, 1e3), (huge.t(), tiny.t(), 1e-3)):
        for factor in factors(Delta(a=a, b=b, scale=scale), torch.device("cpu")):
            assert bool(factor.half().isfinite().all())
            assert float(factor.half().abs().min()) > 0
