"""Sampling: our parameters as vLLM's, and what it tells of a step as our samples."""

from collections.abc import Sequence
from typing import Any

from vllm.sampling_params import SamplingParams as VllmParams

from hotswap.model.network.rows import Sample, Scored
from hotswap.sampling_params import SamplingParams

_SEEDS = 1 << 63  # vLLM's are signed


def vllm_params(params: SamplingParams, ends: frozenset[int]) -> VllmParams:
    """How a job samples. Stops and lengths are not vLLM's: the engine sees to them."""
    made = VllmParams(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=max(0, params.top_k),
        min_p=params.min_p,
        presence_penalty=params.presence_penalty,
        frequency_penalty=params.frequency_penalty,
        repetition_penalty=params.repetition_penalty,
        logit_bias=dict(params.logit_bias) or None,
        allowed_token_ids=_allowed(params),
        seed=None if params.seed is None else params.seed % _SEEDS,
        logprobs=params.logprobs,
        min_tokens=params.min_tokens,
        max_tokens=None,
        stop_token_ids=sorted(ends),
        detokenize=False,
    )
    # Its own are words, which it needs a tokenizer for.
    words = [list(word) for word in params.bad_words if word]
    made._bad_words_token_ids = words or None
    return made


def scoring_params(params: SamplingParams) -> VllmParams | None:
    """How its prompt is scored, if it is."""
    if params.prompt_logprobs is None:
        return None
    return VllmParams(
        temperature=0,
        max_tokens=1,
        detokenize=False,
        prompt_logprobs=params.prompt_logprobs,
    )


def _allowed(params: SamplingParams) -> list[int] | None:
    if params.allowed_tokens is None:
        return None
    return sorted(params.allowed_tokens)


def sample_of(output: Any, request: str, logprobs: int | None) -> Sample | None:
    """Of vLLM's ModelRunnerOutput; None: the logits were not finite. `logprobs`: how
    many likeliest were asked for besides the token's own; None: nothing."""
    row = output.req_id_to_index[request]
    (token,) = output.sampled_token_ids[row]
    if (output.num_nans_in_logits or {}).get(request):
        return None
    if logprobs is None:
        return Sample(token)
    told = output.logprobs
    (scored,) = _scored(
        told.logprob_token_ids[row : row + 1].tolist(),
        told.logprobs[row : row + 1].tolist(),
        [int(told.sampled_token_ranks[row])],
        logprobs,
    )
    return Sample(token, scored)


def prompt_scores(output: Any, request: str, logprobs: int) -> tuple[Scored, ...]:
    """Of each token of the prompt but the first."""
    told = output.prompt_logprobs_dict[request]
    return tuple(
        _scored(
            told.logprob_token_ids.tolist(),
            told.logprobs.tolist(),
            told.selected_token_ranks.tolist(),
            logprobs,
        )
    )


def _scored(
    tokens: Sequence[Sequence[int]],
    logprobs: Sequence[Sequence[float]],
    ranks: Sequence[int],
    count: int,
) -> list[Scored]:
    """Each row is a token, and behind it the likeliest."""
    return [
        Scored(
            token=ids[0],
            logprob=likely[0],
            rank=rank if count else 0,
            top=tuple(zip(ids[1:], likely[1:], strict=True))[:count],
        )
        for ids, likely, rank in zip(tokens, logprobs, ranks, strict=True)
    ]
