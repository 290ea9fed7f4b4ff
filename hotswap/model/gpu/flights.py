"""Flights: what a step sampled stays on the device, and comes back in one copy.

The next step takes its tokens from there, before the host has seen them. Not yet run on
a GPU.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from hotswap.model.machine.device import Device, Event
from hotswap.model.network.prompt_scores import Slices, told
from hotswap.model.network.rows import Sample
from hotswap.model.network.sampling import Sampled
from hotswap.model.network.sampling_rows import SamplingRows
from hotswap.model.network.top_logprobs import TopLogprobs


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """A step that was launched. `found` [3, rows] and `top` (`TopLogprobs.packed`; None
    where nobody asks) are in host memory when it is done. `scored`: of the prompts of
    the rows' jobs."""

    sampling: SamplingRows
    found: torch.Tensor
    top: torch.Tensor | None
    scored: Sequence[Slices]
    done: Event

    def land(self) -> list[Sample | None]:
        """Waits. A sample for each row that wanted logits; None: not finite."""
        self.done.wait()
        tokens, logprobs, is_finite = self.found[:, : len(self.sampling.logprobs)]
        sampled = Sampled(
            tokens,
            logprobs.view(torch.float64),
            is_finite.bool(),
            None if self.top is None else TopLogprobs.unpacked(self.top),
        )
        return told(sampled.samples(self.sampling), self.scored)


class Flights:
    """`tokens` [rows] int64: of the last step, where the model computes; one address
    for ever."""

    def __init__(self, device: Device, place: torch.device, rows: int) -> None:
        self._device = device
        # int64: tokens, the bits of their logprobs as float64, whether they are finite
        self._found = torch.zeros((3, rows), dtype=torch.int64, device=place)
        self.tokens = self._found[0]

    def launch(
        self,
        sampled: Sampled | None,
        sampling: SamplingRows,
        scored: Sequence[Slices],
    ) -> Flight:
        """Queue the way back of a step; None: none of its rows wanted logits."""
        if sampled is not None:
            tokens, logprobs, is_finite = self._found[:, : len(sampled.tokens)]
            tokens.copy_(sampled.tokens)
            logprobs.view(torch.float64).copy_(sampled.logprobs)
            is_finite.copy_(sampled.is_finite)
        found, top = self._sent_back(self._found), None
        if sampled is not None and sampled.top is not None:
            top = self._sent_back(sampled.top.packed())
        return Flight(sampling, found, top, scored, self._device.mark())

    def _sent_back(self, found: torch.Tensor) -> torch.Tensor:
        """int64, in memory of this flight alone: torch gives it to no other before it
        is copied."""
        host = self._device.staging(2 * found.numel()).view(torch.int64)
        return host.view(found.shape).copy_(found, non_blocking=True)
