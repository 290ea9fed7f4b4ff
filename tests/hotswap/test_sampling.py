"""A row's token depends on its logits, parameters and seed, never on its neighbours."""

from collections import Counter
from typing import Any

import pytest
import torch

from hotswap.engine.sampling import Sample, Sampler, sample
from hotswap.engine.sampling_params import SamplingParams

RANDOM = torch.Generator().manual_seed(0)
LOGITS = torch.randn(8, 100, generator=RANDOM) * 3


def one(logits: torch.Tensor, sampler: Sampler) -> Sample:
    (found,) = sample(logits[None], [sampler])
    assert found is not None
    return found


def draw(logits: torch.Tensor, count: int, **params: Any) -> list[int]:
    sampler = Sampler(SamplingParams(**params))
    return [one(logits, sampler).token for _ in range(count)]


def test_the_same_seed_gives_the_same_tokens_whatever_else_is_in_the_batch() -> None:
    alone = draw(LOGITS[0], 20, seed=7)
    ours = Sampler(SamplingParams(seed=7))
    others = [Sampler(SamplingParams(seed=n)) for n in range(7)]

    beside = [
        sample(LOGITS.roll(n % 3, 0)[[n % 3, *range(7)]], [ours, *others])[0]
        for n in range(20)
    ]

    assert [found and found.token for found in beside] == alone
    assert draw(LOGITS[0], 20, seed=8) != alone


def test_temperature_zero_and_top_k_one_are_greedy() -> None:
    best = int(LOGITS[0].argmax())

    assert set(draw(LOGITS[0], 5, temperature=0)) == {best}
    assert set(draw(LOGITS[0], 5, top_k=1)) == {best}


def test_samples_follow_the_softmax() -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()

    counts = Counter(draw(logits, 4000, seed=1))

    for token, share in enumerate((0.1, 0.2, 0.3, 0.4)):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)


def test_temperature_sharpens_as_the_softmax_of_scaled_logits() -> None:
    logits = torch.tensor([1.0, 2.0])

    counts = Counter(draw(logits, 4000, seed=1, temperature=0.5))

    share = float((logits / 0.5).softmax(-1)[1])
    assert counts[1] / 4000 == pytest.approx(share, abs=0.03)


def test_top_k_and_top_p_never_leave_their_sets() -> None:
    probabilities = LOGITS[0].softmax(-1)
    order = probabilities.argsort(descending=True)
    mass = probabilities[order].cumsum(-1)
    nucleus = set(order[: int((mass < 0.5).sum()) + 1].tolist())

    assert set(draw(LOGITS[0], 300, seed=1, top_k=3)) <= set(order[:3].tolist())
    assert set(draw(LOGITS[0], 300, seed=1, top_p=0.5)) == nucleus


def test_extreme_parameters_still_give_a_token() -> None:
    tiny = draw(LOGITS[0], 3, temperature=1e-30)
    huge = draw(LOGITS[0], 3, temperature=100.0, top_k=1 << 31, top_p=1e-9)

    assert set(tiny) == {int(LOGITS[0].argmax())}
    assert len(huge) == 3


def test_the_log_probability_is_that_of_the_token() -> None:
    sampler = Sampler(SamplingParams(temperature=0, logprobs=True))

    found = one(LOGITS[0], sampler)

    wanted = LOGITS[0].log_softmax(-1)[found.token]
    assert found.logprob == pytest.approx(float(wanted), abs=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_give_no_token_and_harm_no_other(bad: float) -> None:
    broken = LOGITS.clone()
    broken[1, 5] = bad

    def samplers() -> list[Sampler]:
        return [Sampler(SamplingParams(seed=n)) for n in range(8)]

    found, wanted = sample(broken, samplers()), sample(LOGITS, samplers())

    assert found[1] is None
    assert found[:1] + found[2:] == wanted[:1] + wanted[2:]
    assert None not in wanted
