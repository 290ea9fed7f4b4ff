"""LoraMapping: which adapter each row of a mixed step has: over the stacks, as masks or
as segments.

The layers see the tokens of the step, the head the rows that want logits. It holds for
one forward pass; between passes nobody has an adapter, and the stacks add nothing. What
was made of it serves the next pass as well if its rows have the same adapters, as those
of decoding jobs have.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from weakref import WeakValueDictionary

import torch

from hotswap.model.machine.segmented import Part, Places, Segments

_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}

Rank = tuple[str, int, int]
"""Of a stack: the key of its owner, and the outputs [first, last) that it makes."""


class LoraMapping:
    """Shared by the stacks of all layers. Adapters go by key; "" is nobody's."""

    def __init__(self, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        self.is_active = False  # a mixed step runs, and one of its rows has an adapter
        self._owners: dict[bool, Sequence[str]] = {}  # by is_head; of the last pass
        self._masks: dict[tuple[bool, tuple[str, ...]], torch.Tensor] = {}
        self._segments: dict[tuple[bool, Places], Segments] = {}
        # Layers whose ranks lie alike share one: it is found by what it is, not by what
        # it holds, and its segments are made once.
        self._places: WeakValueDictionary[
            tuple[tuple[Rank, ...], tuple[tuple[int, int], ...]], Places
        ] = WeakValueDictionary()

    @contextmanager
    def over(self, tokens: Sequence[str], logits: Sequence[str]) -> Iterator[None]:
        """For the forward pass within, the owner of each token and of each row that
        wants logits."""
        owners = {False: tokens, True: logits}
        if owners != self._owners:
            self._owners = owners
            self._masks.clear()
            self._segments.clear()
        self.is_active = any(tokens) or any(logits)
        try:
            yield
        finally:
            self.is_active = False

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

    def segments(self, is_head: bool, places: Places) -> Segments:
        """The same for ranks that lie so."""
        segments = self._segments.get((is_head, places))
        if segments is None:
            owners = self._owners[is_head]
            segments = Segments([places.of(key) for key in owners])
            self._segments[is_head, places] = segments
        return segments

    def places(
        self, ranks: tuple[Rank, ...], bounds: tuple[tuple[int, int], ...]
    ) -> Places:
        """`ranks`: of a stack, in their order, each adapter's together; `bounds`: the
        outputs [first, last) of each of the layer's parts."""
        places = self._places.get((ranks, bounds))
        if places is None:
            made: dict[str, dict[tuple[int, int], Part]] = {}
            start = 0
            for (key, *bound), own in groupby(ranks):
                first, last = bound
                stop = start + sum(1 for _ in own)
                parts = made.setdefault(key, {each: (0, 0, *each) for each in bounds})
                assert parts[first, last] == (0, 0, first, last), "it lies apart"
                parts[first, last] = (start, stop, first, last)
                start = stop
            found = {key: tuple(parts.values()) for key, parts in made.items()}
            places = Places(found, max(last for _, last in bounds))
            self._places[ranks, bounds] = places
        return places
