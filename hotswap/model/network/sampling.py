"""Sampling: logits -> token ids, for all rows of a step at once, on any device.

    logits -> processors (rows that ask) -> argmax, or a draw -> what was sampled
           -> logprobs (rows that ask), of the logits as they came

A row's token depends on its logits, its parameters, its own tokens and its own seeded
generator, never on the rows beside it. Greedy rows are a plain argmax. Nothing waits
for the device while no row has `top_k` or `top_p`.
"""

from dataclasses import dataclass

import torch

from hotswap.model.network.draws import from_ranked, from_whole, sent
from hotswap.model.network.logits_processors import LogitsProcessors
from hotswap.model.network.rows import Sample, Scored
from hotswap.model.network.sampling_rows import SamplingRows
from hotswap.model.network.top_logprobs import TopLogprobs, top_logprobs


@dataclass(frozen=True, slots=True)
class Sampled:
    """Of n rows, on the logits' device: tokens [n] int64, logprobs [n] float32 (zeros
    where nobody asks), is_finite [n] bool: where it is False the token means nothing.
    `top`: of the rows that ask for it, None where nobody does.
    """

    tokens: torch.Tensor
    logprobs: torch.Tensor
    is_finite: torch.Tensor
    top: TopLogprobs | None

    def samples(self, rows: SamplingRows) -> list[Sample | None]:
        """In host memory; each grammar has taken its row's, or refused it. None for a
        row whose logits were not finite. Waits."""
        ranked = {} if self.top is None else self.top.by_row(rows.logprobs)
        found = zip(
            self.tokens.tolist(),
            self.logprobs.tolist(),
            self.is_finite.tolist(),
            rows.logprobs,
            rows.matchers,
            strict=True,
        )
        return [
            Sample(
                token,
                None
                if wanted is None
                else Scored(token, logprob, *ranked.get(row, (0, ()))),
                is_refused=matcher is not None and not matcher.accept(token),
            )
            if is_finite
            else None
            for row, (token, logprob, is_finite, wanted, matcher) in enumerate(found)
        ]


def sample(
    logits: torch.Tensor, rows: SamplingRows, mask: torch.Tensor | None = None
) -> Sampled:
    """One token for each row of [n, vocab] float32 logits, which stay as they are.
    `mask` [n, vocab] bool, on their device: True is allowed; it comes before all else,
    and what it allows is sampled, whatever the parameters forbid (`bans`).

    The past of the rows that look back is one token longer for what is launched later.
    """
    own, processors = logits, rows.processors
    if processors is None and mask is not None:
        processors = LogitsProcessors([])
    if processors is not None:
        own = processors.processed(logits, mask)
    tokens = own.argmax(-1)
    # NaN counts as the largest: this is NaN or infinite if any logit is NaN or +inf.
    best = own.gather(-1, tokens[:, None])
    for draws, kind in ((rows.whole, from_whole), (rows.ranked, from_ranked)):
        if draws:
            wanted = sent(draws, logits.device)
            index = wanted[0].long()
            theirs, top = own, best
            if len(draws) < len(logits):
                theirs, top = own[index], best[index]
            tokens.index_copy_(0, index, kind(theirs, top, wanted))
    if processors is not None:
        processors.keep(tokens)
        best = logits.amax(-1, keepdim=True)
    is_finite = best[:, 0].abs() < torch.inf  # half the launches of `isfinite`
    return _scored(logits, tokens, is_finite, rows)


def _scored(
    logits: torch.Tensor,
    tokens: torch.Tensor,
    is_finite: torch.Tensor,
    rows: SamplingRows,
) -> Sampled:
    """With how likely the model found the tokens, where rows ask."""
    most = max((n for n in rows.logprobs if n is not None), default=None)
    if most is None:
        return Sampled(tokens, logits.new_zeros(len(tokens)), is_finite, None)
    # Not `logsumexp`: on a CPU its sum depends on how many rows there are.
    logprobs = logits.log_softmax(-1)
    top = None
    if most:
        top = top_logprobs(logits, logprobs, tokens, rows=rows.top_rows, depth=most)
    own = logprobs.gather(-1, tokens[:, None])[:, 0]
    return Sampled(tokens, own, is_finite, top)
