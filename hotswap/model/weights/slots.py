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
    def allocate(self) -> Any | None:
        """Memory that a slot keeps for it; None: each build may give it other."""

    def build(self, generation: Generation, before: Any, device: Device) -> Any:
        """Content for a slot, of golden and the generation alone. May use the memory
        of `before`, a content that nobody needs any more, and does if `allocate` gave
        it and it fits. The device may still be writing it."""

    def point(self, content: Any) -> None: ...


@dataclass(slots=True, eq=False)
class Slot:
    """`own`: memory that it keeps for good, by swappable, each as `allocate` gave it:
    a captured graph goes on reading it. What an adapter leaves alone holds a copy of
    golden there. Of the others it has only what its generation touches."""

    number: int
    own: Mapping[Swappable, Any] = field(default_factory=dict)
    holds: Generation | None = None
    content: dict[Swappable, Any] = field(default_factory=dict)
    # Of its own memory: what is no copy of golden
    stale: set[Swappable] = field(init=False)
    # What it is worth to keep: see `Weights`
    uses: int = 0
    build_s: float = 0.0
    worth: float = 0.0

    def __post_init__(self) -> None:
        self.stale = set(self.own)

    @property
    def is_fixed(self) -> bool:
        """Whether all that it holds lies in memory of its own."""
        return all(self.own.get(s) is content for s, content in self.content.items())

    def work(
        self, generation: Generation, swappables: Sequence[Swappable]
    ) -> list[Swappable]:
        """What has to be built for it to hold `generation`."""
        return [
            swappable
            for swappable in swappables
            if not generation.paths.isdisjoint(swappable.parts)
            or (
                swappable in self.stale
                if swappable in self.own
                else not swappable.has_golden
            )
        ]

    def clear(self) -> dict[Swappable, Any]:
        """Hold nothing. Returns contents whose memory may be used again."""
        before, self.content = self.content, dict(self.own)
        self.holds, self.uses = None, 0
        return before

    def build(
        self, swappable: Swappable, generation: Generation, before: Any, device: Device
    ) -> None:
        """One content. Raises whatever the swappable does."""
        own = self.own.get(swappable)
        if own is not None:
            self.stale.add(swappable)  # whatever comes of it
            before = own
        made = self.content[swappable] = swappable.build(generation, before, device)
        if made is own and generation.paths.isdisjoint(swappable.parts):
            self.stale.discard(swappable)


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
