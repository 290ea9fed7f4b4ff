"""LoraMapping: which adapter each row of a mixed step has: over the stacks, as masks or
as segments.

The layers see the tokens of the step, the head the rows that want logits. It holds for
one forward pass; between passes nobody has an adapter, and the stacks add nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby

import torch

from hotswap.model.machine.segmented import Segments

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class LoraMapping:
    """Shared by the stacks of all layers. Adapters go by key; "" is nobody's."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        self._owners: dict[bool, Sequence[str]] = {}  # by is_head; empty between passes
        self._masks: dict[tuple[bool, tuple[str, ...]], torch.Tensor] = {}
        self._segments: dict[tuple[bool, tuple[str, ...]], Segments] = {}

    @property
    def is_active(self) -> bool:
        """Whether a mixed step runs."""
        return bool(self._owners)

    @contextmanager
    def over(self, tokens: Sequence[str], logits: Sequence[str]) -> Iterator[None]:
        """For the forward pass within, the owner of each token and of each row that
        wants logits."""
        self._owners = {False: tokens, True: logits}
        try:
            yield
        finally:
            self._owners = {}
            self._masks.clear()
            self._segments.clear()

    def mask(self, is_head: bool, columns: tuple[str, ...]) -> torch.Tensor:
        """[rows, columns]: all bits set where the row's adapter owns the column, else
        none; integers as wide as the numbers."""
        mask = self._masks.get((is_head, columns))
        if mask is None:
            number = {key: n for n, key in enumerate(dict.fromkeys(columns))}
            owners = [
                number.get(key, -1) if key else -1 for key in self._owners[is_head]
            ]
            theirs = [number[key] if key else -2 for key in columns]
            rows = torch.tensor(owners, device=self.device)
            mask = rows[:, None] == torch.tensor(theirs, device=self.device)
            mask = -mask.to(_BITS[self.dtype.itemsize])
            self._masks[is_head, columns] = mask
        return mask

    def segments(self, is_head: bool, columns: tuple[str, ...]) -> Segments:
        """The same, where each adapter's columns lie together."""
        segments = self._segments.get((is_head, columns))
        if segments is None:
            ranks, first = {}, 0
            for key, own in groupby(columns):
                stop = first + sum(1 for _ in own)
                ranks[key] = slice(first, stop)
                first = stop
            assert sum(r.stop - r.start for r in ranks.values()) == len(columns)
            owners = self._owners[is_head]
            segments = Segments([ranks.get(key) if key else None for key in owners])
            self._segments[is_head, columns] = segments
        return segments
