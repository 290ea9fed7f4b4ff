"""LoraPages: the factors of alike layers in one piece of memory, page by page.

Layers of one shape (all `qkv`, all `down`) are written together: an adapter comes in a
few dozen launches, not in a dozen for each of hundreds of modules.
"""

from collections.abc import Iterator, Sequence

import torch

from hotswap.adapters.factors import balanced
from hotswap.adapters.generation import Delta, Generation
from hotswap.model.gpu.lora_layer import LoraShape
from hotswap.model.gpu.lora_table import PAGE_RANK
from hotswap.model.machine.device import Device


class LoraPages:
    """`a` [layers, pages, parts * 16, in] and `b` [layers, pages, 16, out], allocated
    once. `shapes`: alike but for their paths."""

    def __init__(
        self,
        shapes: Sequence[LoraShape],
        pages: int,
        dtype: torch.dtype,
        place: torch.device,
    ) -> None:
        layers, first = len(shapes), shapes[0]
        rows, out = PAGE_RANK * len(first.parts), first.ends[-1]
        self._shapes = shapes
        self.a = torch.zeros(
            layers, pages, rows, first.columns, dtype=dtype, device=place
        )
        self.b = torch.zeros(layers, pages, PAGE_RANK, out, dtype=dtype, device=place)

    def write(
        self, generation: Generation, pages: Sequence[int], device: Device
    ) -> list[torch.Tensor]:
        """Queue the upload of all its factors; what it lacks is zero. For each piece, a
        bool where the model computes: whether all of it is finite in the pool's type.
        """
        for page in pages:
            self.a[:, page].zero_()
            self.b[:, page].zero_()
        checks = []
        for part in range(len(self._shapes[0].parts)):
            paths = [list(shape.parts)[part] for shape in self._shapes]
            deltas = [generation.deltas.get(path) for path in paths]
            for start, run in _runs(deltas, device.tile_bytes):
                checks.append(self._write_run(start, part, run, pages, device))
        return checks

    def _write_run(
        self,
        start: int,
        part: int,
        run: Sequence[Delta],
        pages: Sequence[int],
        device: Device,
    ) -> torch.Tensor:
        """One module of the layers from `start` on."""
        layers = slice(start, start + len(run))
        columns = list(self._shapes[0].parts.values())[part]
        rank = max(delta.a.shape[0] for delta in run)
        a = _stacked([delta.a for delta in run], rank, 0, device)
        b = _stacked([delta.b for delta in run], rank, 1, device).transpose(1, 2)
        scales = torch.tensor([delta.scale for delta in run], dtype=torch.float64)
        scaled = b.double() * device.sent(scales)[:, None, None]
        a, b = (f.to(self.a.dtype) for f in balanced(a.double(), scaled))
        for n, page in enumerate(pages[: -(-rank // PAGE_RANK)]):
            theirs = slice(n * PAGE_RANK, min((n + 1) * PAGE_RANK, rank))
            top = part * PAGE_RANK
            size = theirs.stop - theirs.start
            self.a[layers, page, top : top + size] = a[:, theirs]
            self.b[layers, page, :size, columns] = b[:, theirs]
        return a.isfinite().all() & b.isfinite().all()


def _runs(
    deltas: Sequence[Delta | None], scratch_bytes: int
) -> Iterator[tuple[int, list[Delta]]]:
    """Layers one after the other that have an update, with the number of the first;
    not more at once than fit the scratch, in float64."""
    run: list[Delta] = []
    taken = 0
    for number, delta in enumerate([*deltas, None]):
        size = 8 * max(delta.a.numel(), delta.b.numel()) if delta else 0
        if run and (delta is None or taken + size > scratch_bytes):
            yield number - len(run), run
            run, taken = [], 0
        if delta is not None:
            run.append(delta)
            taken += size


def _stacked(
    factors: Sequence[torch.Tensor], rank: int, along: int, device: Device
) -> torch.Tensor:
    """On the device, each filled up to `rank` with zeros, in one copy."""
    dtype = factors[0].dtype
    for factor in factors:
        dtype = torch.promote_types(dtype, factor.dtype)
    shape = list(factors[0].shape)
    shape[along] = rank
    staged = torch.zeros(
        len(factors), *shape, dtype=dtype, pin_memory=not device.is_host
    )
    for target, factor in zip(staged, factors, strict=True):
        target.narrow(along, 0, factor.shape[along]).copy_(factor)
    return device.sent(staged)
