"""Sampling rows: how the rows of a step are sampled, by the samplers of their jobs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch

from hotswap.model.network.draws import Draw
from hotswap.model.network.logits_processors import LogitsProcessors
from hotswap.model.network.past_tokens import PastTokens
from hotswap.model.network.sampler import Sampler
from hotswap.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """Host memory, complete before a launch.

    `whole` are drawn from the whole vocabulary, `ranked` from the likeliest of it; the
    others are greedy. `processors`: None where no row asks for any. `logprobs`: of each
    row, how many of the likeliest tokens it asks for besides its own; None: nothing.
    """

    whole: tuple[Draw, ...]
    ranked: tuple[Draw, ...]
    processors: LogitsProcessors | None
    logprobs: tuple[int | None, ...]

    @classmethod
    def of(cls, samplers: Sequence[Sampler]) -> Self:
        """One row for each. Draws a uniform from each that is not greedy, and counts
        the token that is going to be sampled."""
        draws = {
            row: Draw(
                row=row,
                temperature=sampler.params.temperature,
                uniform=sampler.draw(),
                top_k=max(0, sampler.params.top_k),
                top_p=sampler.params.top_p,
                min_p=sampler.params.min_p,
            )
            for row, sampler in enumerate(samplers)
            if not sampler.is_greedy
        }
        return cls(
            whole=tuple(d for r, d in draws.items() if not samplers[r].is_ranked),
            ranked=tuple(d for r, d in draws.items() if samplers[r].is_ranked),
            processors=LogitsProcessors.of(samplers),
            logprobs=tuple(sampler.params.logprobs for sampler in samplers),
        )

    @property
    def top_rows(self) -> list[int]:
        """The rows that ask for the likeliest tokens."""
        return [row for row, count in enumerate(self.logprobs) if count]


class Samplers:
    """Of the open jobs. `tokens`: what all of them may have at once, on `device`."""

    def __init__(self, tokens: int, device: torch.device) -> None:
        self._past = PastTokens(tokens, device)
        self._samplers: dict[int, Sampler] = {}

    def __getitem__(self, job: int) -> Sampler:
        return self._samplers[job]

    def open(
        self,
        job: int,
        tokens: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int],
        ends: frozenset[int],
    ) -> None:
        """As `Executor.open`."""
        self._samplers[job] = Sampler(
            params, prompt=prompt, ends=ends, tokens=tokens, past_tokens=self._past
        )

    def close(self, job: int) -> None:
        """Unknown jobs have none. A step in the air may still write the job's past:
        whoever gets that room writes later."""
        sampler = self._samplers.pop(job, None)
        if sampler is not None:
            sampler.close()

    def rows(self, jobs: Sequence[int]) -> SamplingRows:
        """One row for each; advances their samplers."""
        return SamplingRows.of([self._samplers[job] for job in jobs])
