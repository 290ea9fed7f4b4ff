"""Log-probabilities, ranks and the likeliest tokens are those of the raw logits."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hotswap.model.network.past_tokens import PastTokens
from hotswap.model.network.rows import Scored
from hotswap.model.network.sampler import Sampler
from hotswap.model.network.sampling import sample
from hotswap.model.network.sampling_rows import SamplingRows
from hotswap.model.network.top_logprobs import TopLogprobs
from hotswap.sampling_params import SamplingParams
from tests.hotswap import sampling_oracle as oracle

counts = st.none() | st.sampled_from([0, 1, 5, 40, 3000])
ways = st.sampled_from(
    [
        {"temperature": 0},
        {"temperature": 2.0, "top_k": 20},
        {"logit_bias": ((3, 50.0),)},
        {"allowed_tokens": frozenset({4, 6})},
    ]
)


def scored(logits: torch.Tensor, params: list[dict[str, Any]]) -> list[Scored | None]:
    past = PastTokens(logits.device)
    samplers = [Sampler(SamplingParams(**way), past_tokens=past) for way in params]
    rows = SamplingRows.of(samplers)
    samples = sample(logits, rows).samples(rows)
    return [found.scored if found else None for found in samples]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(counts, ways), min_size=1, max_size=5),
    st.sampled_from([7, 300, 2000]),
    st.integers(0, 1000),
)
def test_each_row_gets_as_many_of_the_likeliest_as_it_asks_for(
    asks: list[tuple[int | None, dict[str, Any]]], vocab: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Of few values, zeros of both signs among them: most tokens have equals.
    logits = torch.randn(len(asks), vocab, generator=generator).mul(4).round().div(2)
    params = [{"seed": 1, "logprobs": count, **way} for count, way in asks]

    found = scored(logits, params)

    for (count, _), row, own in zip(asks, logits, found, strict=True):
        if count is None:
            assert own is None
            continue
        assert own is not None
        ranked = oracle.top(row, vocab)
        place = [token for token, _ in ranked].index(own.token)
        assert own.logprob == pytest.approx(ranked[place][1], abs=1e-4)
        assert own.rank == (place + 1 if count else 0)
        assert [token for token, _ in own.top] == [token for token, _ in ranked[:count]]
        likely = [logprob for _, logprob in ranked[:count]]
        assert [each for _, each in own.top] == pytest.approx(likely, abs=1e-4)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """torch sums one long row on both, and several on one each."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_a_rows_log_probabilities_are_the_same_bits_in_any_batch() -> None:
    logits = torch.randn(32, 49_152, generator=torch.Generator().manual_seed(2)) * 3
    ways = [{"temperature": 0, "logprobs": n % 3} for n in range(32)]

    together = scored(logits, ways)

    assert together == [
        scored(row[None], [way])[0] for row, way in zip(logits, ways, strict=True)
    ]


def test_what_is_packed_for_one_copy_comes_back() -> None:
    made = TopLogprobs(
        ranks=torch.tensor([3, 1]),
        tokens=torch.tensor([[5, 6, 7], [1, 0, 2]]),
        logprobs=torch.tensor([[-0.1, -2.5, -torch.inf], [-1e-7, -3.0, -9.0]]),
    )

    back = TopLogprobs.unpacked(made.packed())

    assert back.by_row([None, 3, 0, 2]) == made.by_row([None, 3, 0, 2])
    assert back.by_row([2, 1])[1] == (1, ((1, made.logprobs[1, 0].item()),))
