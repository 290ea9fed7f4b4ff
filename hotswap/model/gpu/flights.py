"""Flights: what a step sampled stays on the device, and comes back in one copy.

The next step takes its tokens from there, before the host has seen them. Not yet run on
a GPU.
"""

from dataclasses import dataclass

import torch

from hotswap.model.machine.device import Device, Event
from hotswap.model.network.rows import Sample
from hotswap.model.network.sampling import Sampled, SamplingRows


@dataclass(frozen=True, slots=True, eq=False)
class Flight:
    """A step that was launched. `found` [3, rows] is in host memory when it is done."""

    sampling: SamplingRows
    found: torch.Tensor
    done: Event

    def land(self) -> list[Sample | None]:
        """Waits. A sample for each row that wanted logits; None: not finite."""
        self.done.wait()
        tokens, logprobs, is_finite = self.found[:, : len(self.sampling.wants_logprob)]
        sampled = Sampled(tokens, logprobs.view(torch.float64), is_finite.bool())
        return sampled.samples(self.sampling)


class Flights:
    """`tokens` [rows] int64: of the last step, where the model computes; one address
    for ever."""

    def __init__(self, device: Device, place: torch.device, rows: int) -> None:
        self._device = device
        # int64: tokens, the bits of their logprobs as float64, whether they are finite
        self._found = torch.zeros((3, rows), dtype=torch.int64, device=place)
        self.tokens = self._found[0]

    def launch(self, sampled: Sampled | None, sampling: SamplingRows) -> Flight:
        """Queue the way back of a step; None: none of its rows wanted logits."""
        if sampled is not None:
            tokens, logprobs, is_finite = self._found[:, : len(sampled.tokens)]
            tokens.copy_(sampled.tokens)
            logprobs.view(torch.float64).copy_(sampled.logprobs)
            is_finite.copy_(sampled.is_finite)
        # Memory of this flight alone: torch gives it to no other before it is copied.
        host = self._device.staging(2 * self._found.numel()).view(torch.int64)
        found = host.view(self._found.shape).copy_(self._found, non_blocking=True)
        return Flight(sampling, found, self._device.mark())
