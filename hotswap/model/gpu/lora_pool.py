"""LoraPool: the adapters of mixed steps on a GPU, in a fixed number of pages.

A page is 16 rank rows of every layer. An adapter of rank r has ceil(r / 16) of them,
wherever they lie; those that were not used for longest leave. (S-LoRA's unified paging
pages by rank as well, arXiv:2311.03285; its pages also hold KV, ours do not.)

All memory is allocated once and never moves, so that graphs may hold it. An upload is
made on the side, after the steps queued so far, which may still read the pages that it
writes; it is over when `load` returns, and no step queued later reads half of it.

Not yet run on a GPU.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from hotswap.adapters.generation import Generation
from hotswap.errors import MixFailed
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.gpu.lora_layer import CurrentTables, LoraLayer, LoraShape
from hotswap.model.gpu.lora_pages import LoraPages
from hotswap.model.gpu.lora_table import (
    MOST_PAGES,
    PAGE_RANK,
    LoraTable,
    TableShape,
    lora_table,
)
from hotswap.model.machine.device import Device


@dataclass(frozen=True, slots=True)
class _Held:
    pages: tuple[int, ...]
    touches_head: bool


def page_bytes(layers: Iterable[LoraShape], dtype: torch.dtype) -> int:
    """Of one page of a pool of these layers."""
    numbers = sum(
        PAGE_RANK * (len(layer.parts) * layer.columns + layer.ends[-1])
        for layer in layers
    )
    return numbers * dtype.itemsize


class LoraPool:
    """Owned by the engine thread. `place`: where the model computes."""

    def __init__(
        self,
        layers: Sequence[LoraShape],
        pages: int,
        dtype: torch.dtype,
        device: Device,
        *,
        place: torch.device,
        kernels: Kernels,
    ) -> None:
        assert pages >= 1
        self.pages = pages
        self.nbytes = pages * page_bytes(layers, dtype)
        self._device = device
        self._current = CurrentTables()
        self._paths = {path: layer.is_head for layer in layers for path in layer.parts}
        self._families: list[LoraPages] = []
        self._layers: dict[int, LoraLayer] = {}
        for numbers in _alike(layers):
            shapes = [layers[number] for number in numbers]
            family = LoraPages(shapes, pages, dtype, place)
            self._families.append(family)
            for n, number in enumerate(numbers):
                self._layers[number] = LoraLayer(
                    layers[number], family.a[n], family.b[n], self._current, kernels
                )
        self._held: dict[str, _Held] = {}  # by key, the least recently used first
        self._free = list(range(pages))

    @property
    def loaded(self) -> Sequence[str]:
        """Keys of those that have pages, the least recently used first."""
        return list(self._held)

    def layer(self, index: int) -> LoraLayer:
        """Of the layers in the order in which they were given."""
        return self._layers[index]

    def fits(self, generations: Iterable[Generation]) -> bool:
        """Whether one step can have all of them."""
        every = {generation.key: _pages_of(generation) for generation in generations}
        return sum(every.values()) <= self.pages

    def load(self, wanted: Iterable[Generation]) -> None:
        """Give pages to the generations of the next step, which fit; those that were
        used long ago make room. Raises MixFailed for one that cannot be, and whatever
        the device raises: that one has no pages then, in no layer."""
        every = {generation.key: generation for generation in wanted}
        newcomers = [g for key, g in every.items() if key not in self._held]
        for generation in newcomers:
            self._check(generation)
        assert self.fits(every.values()), "more adapters than pages in one step"
        for key in every:
            if key in self._held:
                self._held[key] = self._held.pop(key)
        for generation in newcomers:
            self._make_room(_pages_of(generation))
            self._upload(generation)

    def table(self, owners: Sequence[str], rows: int) -> npt.NDArray[np.int32]:
        """What a LoraTable of `table_shape(rows)` has to hold. `owners`: a loaded key
        for each row of the step, "" for nobody; there may be fewer than `rows`."""
        pages = {key: self._held[key].pages for key in set(owners) if key}
        return lora_table(owners, pages, self.table_shape(rows))

    def table_shape(self, rows: int) -> TableShape:
        return TableShape(rows, self.pages)

    def over(
        self, tokens: LoraTable | None, logits: LoraTable | None = None
    ) -> AbstractContextManager[None]:
        """Within it the layers add what these tables say: to all tokens of the step,
        and in the head to the rows that want logits. None adds nothing."""
        return self._current.over(tokens, logits)

    def touches_head(self, keys: Iterable[str]) -> bool:
        """Whether one of these, which are loaded, changes the head."""
        return any(self._held[key].touches_head for key in keys)

    def forget(self, key: str) -> None:
        """Take its pages back. A step in the air may still read them: nothing is
        written to them before it is over."""
        if held := self._held.pop(key, None):
            self._free += held.pages

    def _check(self, generation: Generation) -> None:
        pages = _pages_of(generation)
        most = min(self.pages, MOST_PAGES)
        if not generation.can_mix:
            raise MixFailed(generation.key, generation.note or "it is merged only")
        if pages > most:
            reason = f"its rank is {generation.rank}, at most {PAGE_RANK * most} fits"
            raise MixFailed(generation.key, reason)
        if unknown := sorted(generation.paths - self._paths.keys()):
            raise MixFailed(generation.key, f"{unknown[0]} cannot run mixed")

    def _make_room(self, pages: int) -> None:
        """Those that the step wants are the last of all, and they fit: none leaves."""
        while len(self._free) < pages:
            self.forget(next(iter(self._held)))

    @torch.inference_mode()
    def _upload(self, generation: Generation) -> None:
        pages = tuple(self._free[: _pages_of(generation)])
        with self._device.side():
            checks = [
                check
                for family in self._families
                for check in family.write(generation, pages, self._device)
            ]
            is_finite = torch.stack(checks).all() if checks else None
            written = self._device.record()
        written.wait()
        if is_finite is not None and not bool(is_finite):
            raise MixFailed(generation.key, "its factors are not finite")
        del self._free[: len(pages)]
        head = any(self._paths[path] for path in generation.deltas)
        self._held[generation.key] = _Held(pages, head)


def _pages_of(generation: Generation) -> int:
    return max(1, -(-generation.rank // PAGE_RANK))


def _alike(layers: Sequence[LoraShape]) -> Iterable[list[int]]:
    """Numbers of the layers that differ in nothing but their paths, together."""
    found: dict[tuple[object, ...], list[int]] = {}
    for number, layer in enumerate(layers):
        alike = (layer.ends, layer.columns, layer.is_head)
        found.setdefault(alike, []).append(number)
    return found.values()
