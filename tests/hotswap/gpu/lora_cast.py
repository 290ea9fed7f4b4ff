"""A pool of three small layers, and adapters of all shapes for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.gpu.lora_layer import LoraShape
from hotswap.model.gpu.lora_pool import LoraPool
from hotswap.model.gpu.lora_table import LoraTable
from hotswap.model.machine.device import Device, device_of
from tests.hotswap.gpu import reference_lora

CPU = torch.device("cpu")
IN = 24
QKV = {"q": slice(0, 40), "k": slice(40, 50), "v": slice(50, 60)}
LAYERS = [
    LoraShape({f"{n}.{part}": rows for part, rows in QKV.items()}, IN) for n in range(2)
] + [LoraShape({"head": slice(0, 30)}, IN, is_head=True)]
WIDTHS = {
    path: rows.stop - rows.start
    for layer in LAYERS
    for path, rows in layer.parts.items()
}


def _unused(*_: object) -> torch.Tensor:
    raise AssertionError("not a kernel of the adapters")


def kernels_of(
    shrink: Callable[..., torch.Tensor], expand_add: Callable[..., torch.Tensor]
) -> Kernels:
    return Kernels(
        rms_norm=_unused,
        silu_mul=_unused,
        rotate_and_write=_unused,
        pending=_unused,
        merge=_unused,  # type: ignore[arg-type]
        attend=_unused,
        shrink=shrink,
        expand_add=expand_add,
    )


REFERENCE = kernels_of(reference_lora.shrink, reference_lora.expand_add)


def made(
    pages: int = 6,
    dtype: torch.dtype = torch.float32,
    kernels: Kernels = REFERENCE,
    place: torch.device = CPU,
    device: Device | None = None,
) -> LoraPool:
    device = device or device_of(place)
    return LoraPool(LAYERS, pages, dtype, device, place=place, kernels=kernels)


def generation(
    key: str,
    rank: int,
    *paths: str,
    scale: float = 0.3,
    dtype: torch.dtype = torch.float32,
) -> Generation:
    """Of random factors that depend on the key alone."""
    random = torch.Generator().manual_seed(sum(map(ord, key)))
    deltas = {
        path: Delta(
            a=torch.randn(rank, IN, generator=random).to(dtype),
            b=torch.randn(WIDTHS[path], rank, generator=random).to(dtype),
            scale=scale,
        )
        for path in paths
    }
    return Generation(key=key, deltas=deltas)


def update(of: Generation | None, index: int, x: torch.Tensor) -> torch.Tensor:
    """[out] float64: what the adapter adds for one row, by the definition."""
    added = []
    for path, rows in LAYERS[index].parts.items():
        delta = of.deltas.get(path) if of else None
        if delta is None:
            added.append(torch.zeros(rows.stop - rows.start, dtype=torch.float64))
        else:
            made = delta.b.double() @ (delta.a.double() @ x.double())
            added.append(delta.scale * made)
    return torch.cat(added)


@dataclass
class Step:
    """Rows of a step with their owners, run through one layer of a pool."""

    pool: LoraPool
    owners: Sequence[Generation | None]
    rows: int = 0  # of the bucket; 0: as many as there are owners

    def table(self) -> LoraTable:
        rows = self.rows or len(self.owners)
        self.pool.load(owner for owner in self.owners if owner)
        keys = [owner.key if owner else "" for owner in self.owners]
        data = torch.from_numpy(self.pool.table(keys, rows))
        return LoraTable(self.pool.table_shape(rows), data)

    @torch.inference_mode()
    def run(self, index: int, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """The layer's output of a copy of `y`."""
        table = self.table()
        with self.pool.over(table, table):
            return self.pool.layer(index).add_to(y.clone(), x)


def inputs(
    rows: int, index: int, dtype: torch.dtype = torch.float32, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """y [rows, out] and x [rows, in]."""
    random = torch.Generator().manual_seed(seed)
    out = LAYERS[index].ends[-1]
    y = torch.randn(rows, out, generator=random).to(dtype)
    return y, torch.randn(rows, IN, generator=random).to(dtype)


def check(pool: LoraPool, owners: list[Generation | None]) -> None:
    """Every layer adds to every row what its adapter adds by the definition."""
    for index in range(len(LAYERS)):
        y, x = inputs(len(owners), index)
        found = Step(pool, owners).run(index, y, x)
        for row, owner in enumerate(owners):
            wanted = y[row].double() + update(owner, index, x[row])
            torch.testing.assert_close(found[row], wanted.float())
            if owner is None:
                assert torch.equal(found[row], y[row])
