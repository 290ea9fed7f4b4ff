"""What the layers of real models launch in a mixed step, for `ahead_of_time`."""

from functools import partial
from itertools import product

import torch

from hotswap.model.gpu.kernels.lora import expand_add, shrink
from hotswap.model.gpu.lora_table import PAGE_RANK, LoraTable, TableShape

PAGES = 64
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
ROWS = {"decode": 64, "prefill": 2048}
# Columns of the input, and where each part of the output ends
LAYERS = {
    "8B qkv": (4096, (4096, 5120, 6144)),
    "8B gate up": (4096, (14336, 28672)),
    "8B down": (14336, (4096,)),
    "odd qkv": (901, (450, 579, 661)),
}


def _launch(rows: int, dtype: torch.dtype, columns: int, ends: tuple[int, ...]) -> None:
    def meta(*shape: int, dtype: torch.dtype = dtype) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device="meta")

    shape = TableShape(rows, PAGES)
    table = LoraTable(shape, meta(shape.size, dtype=torch.int32))
    h = shrink(meta(rows, columns), meta(PAGES, PAGE_RANK * len(ends), columns), table)
    expand_add(h, meta(PAGES, PAGE_RANK, ends[-1]), table, meta(rows, ends[-1]), ends)


LAUNCHES = {
    f"{layer} {kind} {str(dtype)[6:]}": partial(
        _launch, ROWS[kind], dtype, *LAYERS[layer]
    )
    for layer, kind, dtype in product(LAYERS, ROWS, DTYPES)
}
