"""Slots: what one holds, one on its way to a generation, and `Swappable`.

Values that `Weights` alone mutates.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from hotswap.adapters.generation import Generation
from hotswap.model.machine.device import Device, Event


class Swappable(Protocol):
    """Parameters that can be pointed to a slot's content, as a `Linear`'s."""

    @property
    def parts(self) -> Mapping[str, slice]:
        """By path, the modules whose parameters they are."""

    @property
    def has_golden(self) -> bool:
        """Whether it can be pointed to golden."""

    @property
    def golden_tensors(self) -> Sequence[torch.Tensor]: ...
    def golden_of(self, path: str) -> Mapping[str, torch.Tensor]: ...
    def build(self, generation: Generation, before: Any, device: Device) -> Any:
        """Content for a slot, of golden and the generation alone. May use the memory
        of `before`, a content that nobody needs any more. The device may still be
        writing it."""

    def point(self, content: Any) -> None: ...


@dataclass(slots=True)
class Slot:
    holds: Generation | None = None
    # Of the swappables that the adapter touches
    content: dict[Swappable, Any] = field(default_factory=dict)
    # What it is worth to keep: see `Weights`
    uses: int = 0
    build_s: float = 0.0
    worth: float = 0.0


@dataclass(slots=True)
class Build:
    """A slot on its way to a generation; it holds nothing until it is whole."""

    slot: Slot
    generation: Generation
    rest: Iterator[Swappable]
    before: dict[Swappable, Any] | None = None  # contents to use again, once begun
    is_queued: bool = False  # all of it; the device may still be at it
    slices: list[tuple[Event, Event]] = field(default_factory=list)  # begin and end

    @property
    def is_whole(self) -> bool:
        return self.is_queued and self.slices[-1][1].is_done()

    @property
    def seconds(self) -> float:
        """What its slices took. Only when it is whole."""
        return sum(end.since(begin) for begin, end in self.slices)
