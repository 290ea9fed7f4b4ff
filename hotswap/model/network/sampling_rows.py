"""Sampling rows: how the rows of a step are sampled, by the samplers of their jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from hotswap.grammar import Matcher
from hotswap.model.network.draws import Draw
from hotswap.model.network.logits_processors import LogitsProcessors
from hotswap.model.network.past_tokens import PastTokens
from hotswap.model.network.prompt_scores import PromptScores, Slices
from hotswap.model.network.rows import Row
from hotswap.model.network.sampler import Sampler
from hotswap.sampling_params import SamplingParams


@dataclass(frozen=True, slots=True)
class SamplingRows:
    """Host memory, complete before a launch.

    `whole` are drawn from the whole vocabulary, `ranked` from the likeliest of it; the
    others are greedy. `processors`: None where no row asks for any. `logprobs`: of each
    row, how many of the likeliest tokens it asks for besides its own; None: nothing.
    `matchers`: of each row, which has to accept its token.
    """

    whole: tuple[Draw, ...]
    ranked: tuple[Draw, ...]
    processors: LogitsProcessors | None
    logprobs: tuple[int | None, ...]
    matchers: tuple[Matcher | None, ...]

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
            matchers=tuple(sampler.matcher for sampler in samplers),
        )

    @property
    def top_rows(self) -> list[int]:
        """The rows that ask for the likeliest tokens."""
        return [row for row, count in enumerate(self.logprobs) if count]


class Samplers:
    """Of the open jobs. What they look back at is on `device`."""

    def __init__(self, device: torch.device, *, most_rows: int) -> None:
        """`most_rows`: of one forward pass."""
        self._past = PastTokens(device)
        self._scores = PromptScores(most_rows)
        self._samplers: dict[int, Sampler] = {}

    def __getitem__(self, job: int) -> Sampler:
        return self._samplers[job]

    def open(
        self,
        job: int,
        params: SamplingParams,
        *,
        prompt: Sequence[int],
        ends: frozenset[int],
    ) -> None:
        """As `Executor.open`."""
        self._samplers[job] = Sampler(
            params, prompt=prompt, ends=ends, past_tokens=self._past
        )

    def close(self, job: int) -> None:
        """Unknown jobs have none. A step in the air may still write the job's past:
        whoever gets that room writes later."""
        sampler = self._samplers.pop(job, None)
        if sampler is not None:
            sampler.close()
        self._scores.close(job)

    def score(
        self, rows: Sequence[Row], logits_of: Callable[[Sequence[Row]], torch.Tensor]
    ) -> Sequence[Row]:
        """Score the prompt's tokens where rows ask; the rows that are left to compute.
        `logits_of`: a forward pass."""

        def top(job: int) -> int:
            return self._samplers[job].params.prompt_logprobs or 0

        return self._scores.score(rows, top, logits_of)

    def scored(self, jobs: Sequence[int]) -> list[Slices]:
        """What was scored of the prompts of these jobs, which are launched."""
        return self._scores.take(jobs)

    def matchers(self, jobs: Sequence[int]) -> list[Matcher | None]:
        """What follows the grammar of each."""
        return [self._samplers[job].matcher for job in jobs]

    def rows(self, jobs: Sequence[int]) -> SamplingRows:
        """One row for each; advances their samplers."""
        return SamplingRows.of([self._samplers[job] for job in jobs])
