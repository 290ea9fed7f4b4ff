"""A row's token depends on its logits, parameters and seed, never on its neighbours."""

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.network.past_tokens import PastTokens
from hotswap.model.network.rows import Sample
from hotswap.model.network.sampler import Sampler
from hotswap.model.network.sampling import sample
from hotswap.model.network.sampling_rows import SamplingRows
from hotswap.sampling_params import SamplingParams

RANDOM = torch.Generator().manual_seed(0)
LOGITS = torch.randn(8, 100, generator=RANDOM) * 3


def sampled(logits: torch.Tensor, samplers: list[Sampler]) -> list[Sample | None]:
    rows = SamplingRows.of(samplers)
    return sample(logits, rows).samples(rows)


def one(logits: torch.Tensor, sampler: Sampler) -> Sample:
    (found,) = sampled(logits[None], [sampler])
    assert found is not None
    return found


def draw(logits: torch.Tensor, count: int, **params: Any) -> list[int]:
    sampler = Sampler(SamplingParams(**params))
    return [one(logits, sampler).token for _ in range(count)]


def test_the_same_seed_gives_the_same_tokens_and_another_others() -> None:
    for kind in ({}, {"top_k": 50}, {"top_p": 0.99}):
        assert draw(LOGITS[0], 20, seed=7, **kind) == draw(
            LOGITS[0], 20, seed=7, **kind
        )
        assert draw(LOGITS[0], 20, seed=8, **kind) != draw(
            LOGITS[0], 20, seed=7, **kind
        )


# Of a few values: most tokens have equals, as logits in bfloat16 have.
vocabularies = st.sampled_from([5, 40, 3000])
kinds = st.fixed_dictionaries(
    {
        "temperature": st.sampled_from([0.0, 0.3, 1.0, 5.0]),
        "top_k": st.sampled_from([-1, 0, 1, 2, 7, 39, 2000, 1 << 31]),
        "top_p": st.sampled_from([1e-9, 0.3, 0.9, 1.0]),
        "logprobs": st.none() | st.just(0),
        "seed": st.integers(0, 1000),
    }
)


@settings(deadline=None)
@given(vocabularies, st.lists(kinds, min_size=1, max_size=6), st.integers(0, 1000))
def test_a_row_gets_in_any_batch_what_it_gets_alone(
    vocab: int, kinds: list[dict[str, Any]], seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    logits = torch.randn(len(kinds), vocab, generator=random).mul(4).round().div(2)
    samplers = [Sampler(SamplingParams(**kind)) for kind in kinds]
    twins = [Sampler(SamplingParams(**kind)) for kind in kinds]

    together = [sampled(logits, samplers) for _ in range(3)]

    alone = [
        [one(row, twin) for row, twin in zip(logits, twins, strict=True)]
        for _ in range(3)
    ]
    for found, wanted in zip(together, alone, strict=True):
        assert [f and f.token for f in found] == [w.token for w in wanted]


@pytest.mark.parametrize("kind", [{}, {"top_k": 1 << 31}, {"top_k": 4}])
def test_each_kind_follows_the_softmax_of_scaled_logits(kind: dict[str, Any]) -> None:
    logits = torch.tensor([0.1, 0.2, 0.3, 0.4]).log().repeat(4000, 1)
    samplers = [Sampler(SamplingParams(seed=n, **kind)) for n in range(4000)]

    counts = Counter(found.token for found in sampled(logits, samplers) if found)

    for token, share in enumerate((0.1, 0.2, 0.3, 0.4)):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(
    ("kind", "kept"), [({"top_p": 0.7}, [2, 3]), ({"top_p": 0.71}, [1, 2, 3])]
)
def test_a_nucleus_keeps_the_shares_of_its_tokens(
    kind: dict[str, Any], kept: list[int]
) -> None:
    shares = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
    logits = shares.log().float().repeat(4000, 1)
    samplers = [Sampler(SamplingParams(seed=n, **kind)) for n in range(4000)]

    counts = Counter(found.token for found in sampled(logits, samplers) if found)

    wanted = shares[kept] / shares[kept].sum()
    assert sorted(counts) == kept
    for token, share in zip(kept, wanted.tolist(), strict=True):
        assert counts[token] / 4000 == pytest.approx(share, abs=0.03)


def test_of_equal_logits_the_first_ids_are_the_likeliest() -> None:
    flat = torch.zeros(5000)

    assert set(draw(flat, 200, seed=1, top_k=3)) == {0, 1, 2}
    assert set(draw(flat, 300, seed=1, top_p=0.001)) == set(range(5))
    assert draw(flat, 1, temperature=0) == [0]


def test_a_nucleus_wider_than_what_is_looked_at_first_is_whole() -> None:
    wide = torch.linspace(0.1, 0.0, 20_000)
    mass = wide.double().softmax(-1).cumsum(-1)
    widest = int((mass < 0.9).sum())

    found = draw(wide, 200, seed=3, top_p=0.9)

    assert widest > 17_000
    assert max(found) <= widest
    assert max(found) > 15_000
    narrow = draw(wide, 200, seed=3, top_k=1500)
    assert 1300 < max(narrow) < 1500


def test_temperature_zero_and_top_k_one_are_greedy() -> None:
    best = int(LOGITS[0].argmax())

    assert set(draw(LOGITS[0], 5, temperature=0)) == {best}
    assert set(draw(LOGITS[0], 5, top_k=1)) == {best}


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


ASKING = {
    "repetition_penalty": 1.3,
    "frequency_penalty": 0.5,
    "bad_words": ((5,), (1, 2)),
    "allowed_tokens": frozenset(range(6, 90)),
    "min_p": 0.1,
}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize(
    "kind", [{}, {"top_k": 5}, {"top_p": 0.5}, {"top_k": 1}, ASKING]
)
def test_logits_that_are_not_finite_give_no_token_and_harm_no_other(
    kind: dict[str, Any], bad: float
) -> None:
    broken = LOGITS.clone()
    broken[1, 5] = bad

    def samplers() -> list[Sampler]:
        past = PastTokens(LOGITS.device)
        return [
            Sampler(
                SamplingParams(seed=n, **kind),
                prompt=[n, 9],
                past_tokens=past,
            )
            for n in range(8)
        ]

    found, wanted = sampled(broken, samplers()), sampled(LOGITS, samplers())

    assert found[1] is None
    assert found[:1] + found[2:] == wanted[:1] + wanted[2:]
    assert None not in wanted


def test_who_asks_for_nothing_has_no_state_and_is_not_processed() -> None:
    past = PastTokens(LOGITS.device)
    neutral = SamplingParams(
        min_tokens=3, logit_bias=(), bad_words=(), repetition_penalty=1.0, min_p=0.2
    )

    samplers = [
        Sampler(params, prompt=[1, 2], past_tokens=past)
        for params in (SamplingParams(), SamplingParams(temperature=0), neutral)
    ]

    assert SamplingRows.of(samplers).processors is None
    assert not len(past.tokens)
