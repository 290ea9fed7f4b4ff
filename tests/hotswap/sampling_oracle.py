"""What a token should be: transformers' own logits processors, in vLLM's order.

Presence and frequency, which transformers has not, as vLLM defines them.
"""

from collections.abc import Sequence

import torch
from transformers.generation.logits_process import (
    LogitsProcessor,
    MinNewTokensLengthLogitsProcessor,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from hotswap.sampling_params import SamplingParams


def processed(
    logits: torch.Tensor,
    params: SamplingParams,
    *,
    prompt: Sequence[int] = (),
    output: Sequence[int] = (),
    ends: frozenset[int] = frozenset(),
    mask: torch.Tensor | None = None,
) -> torch.Tensor:
    """[vocab] of one row, before temperature."""
    scores = logits[None].clone()
    if mask is not None:
        scores[:, ~mask] = -torch.inf
    if params.allowed_tokens is not None:
        others = set(range(scores.shape[1])) - params.allowed_tokens
        scores[:, sorted(others)] = -torch.inf
    written = torch.tensor([list(output)], dtype=torch.int64)
    both = torch.tensor([[*prompt, *output]], dtype=torch.int64)
    if params.bad_words:
        words = [list(word) for word in params.bad_words]
        scores = NoBadWordsLogitsProcessor(words)(written, scores)
    if ends:
        count = len(prompt), params.min_tokens
        fewest = MinNewTokensLengthLogitsProcessor(*count, sorted(ends))
        scores = fewest(both, scores)
    if params.logit_bias:
        bias = {(token,): value for token, value in params.logit_bias}
        scores = SequenceBiasLogitsProcessor(bias)(written, scores)  # type: ignore[arg-type]
    if params.repetition_penalty != 1:
        scores = RepetitionPenaltyLogitsProcessor(params.repetition_penalty)(
            both, scores
        )
    counts = torch.bincount(written[0], minlength=scores.shape[1])
    scores = scores - params.frequency_penalty * counts
    return (scores - params.presence_penalty * (counts > 0))[0]


def shares(scores: torch.Tensor, params: SamplingParams) -> torch.Tensor:
    """[vocab] float64: with what probability each token is drawn."""
    warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(params.temperature)]
    if params.min_p > 0:
        warpers.append(MinPLogitsWarper(params.min_p))
    if params.top_k > 0:
        warpers.append(TopKLogitsWarper(params.top_k))
    if params.top_p < 1:
        warpers.append(TopPLogitsWarper(params.top_p))
    scores, nothing = scores[None], torch.empty((1, 0), dtype=torch.int64)
    for warper in warpers:
        scores = warper(nothing, scores)
    return scores[0].double().softmax(-1)


def check_token(
    token: int, scores: torch.Tensor, params: SamplingParams, uniform: float
) -> None:
    """It is the greedy token of processed `scores`, or the one that `uniform` draws by
    inverse transform, over ids or, with `top_k` or `top_p`, over ranks."""
    if params.temperature == 0 or params.top_k == 1:
        assert scores[token] >= scores.max() - 1e-4
        return
    found = shares(scores, params)
    is_ranked = params.top_k > 0 or params.top_p < 1
    order = torch.arange(len(found))
    if is_ranked:
        order = found.sort(descending=True, stable=True).indices
    summed = found[order].cumsum(-1)
    place = int((order == token).nonzero())
    assert found[token] > 0
    assert summed[place] - found[token] - 1e-4 <= uniform <= summed[place] + 1e-4


def top(logits: torch.Tensor, count: int) -> list[tuple[int, float]]:
    """The likeliest tokens and their logprobs; of equals the lower id first."""
    logprobs = logits.log_softmax(-1).tolist()
    raw = logits.tolist()
    order = sorted(range(len(raw)), key=lambda token: (-raw[token], token))
    return [(token, logprobs[token]) for token in order[:count]]
