"""Prompt scores: how likely the model found the tokens of prompts, for jobs that ask.

A prompt's logits are many, and large: they are computed `_SLICE` tokens at a time, in
passes of their own before the step's. In such a pass each token is a row that wants its
logits, as if its job were decoding: the keys and values of all rows are written before
any attends, so each sees those that stand before it, and no pass is of a new kind.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from hotswap.model.network.rows import Row, Sample, Scored
from hotswap.model.network.top_logprobs import TopLogprobs, top_logprobs
from hotswap.model.network.upload import uploaded

# Tokens whose logits are there at once. Ranking takes some 20 bytes for each logit.
_SLICE = 128


@dataclass(frozen=True, slots=True)
class _Slice:
    """Of the prompt's tokens from the place `start` on; `targets` stand behind them. On
    the device: `logprobs` [targets] float32, and the likeliest, `count` of which are
    told of each."""

    start: int
    targets: Sequence[int]
    logprobs: torch.Tensor
    top: TopLogprobs
    count: int

    def scored(self) -> Iterator[Scored]:
        """In host memory. Waits."""
        told = zip(
            self.targets,
            self.logprobs.tolist(),
            self.top.ranks.tolist(),
            self.top.tokens.tolist(),
            self.top.logprobs.tolist(),
            strict=True,
        )
        for target, logprob, rank, tokens, likely in told:
            top = tuple(zip(tokens, likely, strict=True))[: self.count]
            yield Scored(target, logprob, rank, top)


Slices = Sequence[_Slice]
"""What was scored of one job's prompt, in order."""


class PromptScores:
    """Of the jobs of an executor, from their first chunk to their first sample."""

    def __init__(self, most_rows: int) -> None:
        """`most_rows`: of one pass."""
        self._most = min(_SLICE, most_rows)
        self._slices: defaultdict[int, list[_Slice]] = defaultdict(list)

    def score(
        self,
        rows: Sequence[Row],
        top: Callable[[int], int],
        logits_of: Callable[[Sequence[Row]], torch.Tensor],
    ) -> Sequence[Row]:
        """Compute the tokens that have targets, and keep their scores; returns the rows
        that are left to compute. `top`: how many likeliest a job asks for. `logits_of`:
        a pass; what it returns may be gone after the next one."""
        if not any(row.targets for row in rows):
            return rows
        left = []
        for row in rows:
            done = len(row.targets)
            if done:
                # A step that failed by another's adapter comes again, cut anew perhaps.
                known = [s for s in self._slices[row.job] if s.start < row.position]
                self._slices[row.job] = known
            for start in range(0, done, self._most):
                targets = row.targets[start : start + self._most]
                ones = _ones(row, start, len(targets))
                found = _slice(ones, logits_of(ones), targets, top(row.job))
                self._slices[row.job].append(found)
            if not done:
                left.append(row)
            elif done < len(row.known):
                rest, position = row.known[done:], row.position + done
                left.append(replace(row, tokens=rest, position=position, targets=()))
        return left

    def take(self, jobs: Sequence[int]) -> list[Slices]:
        """What is to be told with the samples of these jobs, which are launched: a job
        may be closed before they land."""
        return [self._slices.pop(job, ()) for job in jobs]

    def close(self, job: int) -> None:
        """Forget what is kept of it; unknown jobs have nothing."""
        self._slices.pop(job, None)


def told(
    samples: Sequence[Sample | None], scored: Sequence[Slices]
) -> list[Sample | None]:
    """The samples with their prompts' scores; None for one whose prompt met logits that
    were not finite. Waits for the device, for whatever is launched already."""
    return [
        _with_prompt(sample, slices) if slices else sample
        for sample, slices in zip(samples, scored, strict=True)
    ]


def _with_prompt(sample: Sample | None, slices: Slices) -> Sample | None:
    prompt = tuple(scored for each in slices for scored in each.scored())
    if sample is None or any(math.isnan(scored.logprob) for scored in prompt):
        return None
    return replace(sample, prompt=prompt)


def _ones(row: Row, start: int, count: int) -> list[Row]:
    """The tokens from `start` on, each a row that wants its logits."""
    return [
        replace(
            row,
            tokens=row.known[at : at + 1],
            position=row.position + at,
            targets=(),
            wants_logits=True,
        )
        for at in range(start, start + count)
    ]


@torch.inference_mode()
def _slice(
    rows: Sequence[Row], logits: torch.Tensor, targets: Sequence[int], count: int
) -> _Slice:
    """Of logits [targets, vocab] float32, which stay as they are."""
    ids = uploaded(np.array(targets, np.int64), logits.device)
    logprobs = logits.log_softmax(-1)
    top = top_logprobs(
        logits, logprobs, ids, rows=range(len(targets)), depth=max(1, count)
    )
    own = logprobs.gather(-1, ids[:, None])[:, 0]
    return _Slice(rows[0].position, targets, own, top, count)
