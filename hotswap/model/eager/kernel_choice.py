"""KernelChoice: the type and the kernels that serve a model, as timed on this machine.

The model's own layer shapes are tried in each way they could be served, for about half
a second. What was found is kept in the cache folder for the next start.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import msgspec
import torch
from msgspec import Struct
from transformers import PreTrainedModel

from hotswap.adapters.generation import bytes_of
from hotswap.cache import keep, recall
from hotswap.model.eager.products import Product, products_of
from hotswap.model.eager.timing import (
    STEPS,
    Table,
    Way,
    apart_from,
    best,
    race,
    shortest,
)
from hotswap.model.machine.device import free_host_bytes
from hotswap.model.machine.fingerprint import digest
from hotswap.model.machine.kernels import Kernels, OneDNN, Plain, kernels_for
from hotswap.model.machine.widening import widening
from hotswap.model.network.llama import Llama
from hotswap.model.network.loaded import mixes_jobs

log = logging.getLogger(__name__)

_LIMIT_S = 0.7
_SILU_LIMIT_S = 0.2
_SILU_ROWS = (1, 16, 64, 128, 256)
# A layout for 256 rows was that for 16 wherever it was looked at.
_PACKED_FOR = (1, 16)
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class ChosenKernels:
    dtype: torch.dtype
    kernels: Kernels


class Kept(Struct, frozen=True):
    """`silu_apart_from`: see `timing.apart_from`. `why`: the figures, for the log."""

    dtype: str
    packed_for: int
    widens: bool
    silu_apart_from: int | None
    why: str

    @property
    def way(self) -> Way:
        dtype = cast(torch.dtype, getattr(torch, self.dtype, None))
        return Way(dtype, self.packed_for, self.widens)


def choose_kernels(
    model: PreTrainedModel, dtypes: Sequence[torch.dtype], device: torch.device
) -> ChosenKernels:
    """The fastest of `dtypes` for the CPU, and its kernels; elsewhere the first."""
    products = products_of(model)
    if device.type != "cpu" or not products:
        return ChosenKernels(dtypes[0], Plain())
    ways = ways_of(model, dtypes)
    key = digest(products, dtypes, any(way.widens for way in ways))
    kept = _kept(key)
    if kept is None or kept.way not in ways:  # there may be less memory today
        kept = _timed(products, ways)
        keep("products", key, msgspec.to_builtins(kept))
    log.info("computing in %s: %s", kept.way, kept.why)
    return ChosenKernels(kept.way.dtype, _kernels(kept.way, kept.silu_apart_from))


def _kept(key: str) -> Kept | None:
    try:
        return msgspec.convert(recall("products", key), Kept)
    except msgspec.ValidationError:  # nothing, or not ours
        return None


def ways_of(model: PreTrainedModel, dtypes: Sequence[torch.dtype]) -> list[Way]:
    """Those that work here and fit into memory; the first is the model as it is."""
    ways = []
    for dtype in dtypes:
        ways.append(Way(dtype, 0))
        for rows in _PACKED_FOR:
            if isinstance(kernels_for(dtype, _CPU, rows), OneDNN):
                ways.append(Way(dtype, rows))
    if _can_widen(model, dtypes) and widening() is not None:
        ways.append(Way(torch.bfloat16, 0, widens=True))
    parameters = sum(p.numel() for p in model.parameters())
    room = free_host_bytes() + bytes_of(model.parameters())
    return ways[:1] + [way for way in ways[1:] if way.bytes * parameters < room]


def _can_widen(model: PreTrainedModel, dtypes: Sequence[torch.dtype]) -> bool:
    """Whether both types would do, for a pass that keeps all but weights in float32."""
    both = dtypes[0] is torch.bfloat16 and torch.float32 in dtypes
    return both and Llama.fits(model) and not mixes_jobs(model)


@torch.inference_mode()
def time_ways(products: Sequence[Product], ways: Sequence[Way]) -> Table:
    """Takes about half a second.

    On one thread: each one's share is alike, and threads that wait for each other on a
    busy machine spin for up to a hundred times as long as they compute, in any way.
    """
    with _one_thread():
        runs = {way: _Products(products, way) for way in ways}
        return race(
            ways, lambda way, rows: runs[way](rows), time.perf_counter, _LIMIT_S
        )


@torch.inference_mode()
def time_silu(products: Sequence[Product], way: Way) -> dict[str, dict[int, float]]:
    """Seconds by rows, `fused` into a packed product and `apart` after it: the heaviest
    one that is no head. On one thread, as `time_ways`.
    """
    product = next((p for p in products if not p.is_head), products[0])
    weight = _made_up(product.outputs, product.inputs, way.dtype)
    kernels = {"fused": _kernels(way, None), "apart": _kernels(way, 1)}
    found: dict[str, dict[int, float]] = {how: {} for how in kernels}
    with _one_thread():
        packed = {how: each.pack(weight) for how, each in kernels.items()}
        for rows in _SILU_ROWS:
            x = _made_up(rows, product.inputs, way.dtype)
            runs = {
                how: partial(_seconds, each.linear_silu, x, packed[how])
                for how, each in kernels.items()
            }
            until = time.perf_counter() + _SILU_LIMIT_S / len(_SILU_ROWS)
            for how, seconds in shortest(runs, time.perf_counter, until).items():
                found[how][rows] = seconds[0]
    return found


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _timed(products: Sequence[Product], ways: Sequence[Way]) -> Kept:
    table = time_ways(products, ways)
    way = best(table)
    boundary = apart_from(**time_silu(products, way)) if way.packed_for else None
    name = str(way.dtype).removeprefix("torch.")
    return Kept(name, way.packed_for, way.widens, boundary, _told(table))


class _Products:
    """The products of a step in one way, of made-up numbers."""

    def __init__(self, products: Sequence[Product], way: Way) -> None:
        kernels = _kernels(way, None)
        self._linear, self._dtype = kernels.linear, way.rows_dtype
        self._products = [
            (kernels.pack(_made_up(p.outputs, p.inputs, way.dtype)), p)
            for p in products
        ]

    def __call__(self, rows: int) -> list[float]:
        """The seconds of each, times how often a step computes it."""
        found = []
        for weight, product in self._products:
            # The head sees the last row of each prompt, not all of them.
            count = 0.0 if product.is_head and rows == max(STEPS) else product.count
            x = _made_up(rows, product.inputs, self._dtype)
            found += [count * s for s in _seconds(self._linear, x, weight) if count]
        return found


def _seconds(
    compute: Callable[..., torch.Tensor], x: torch.Tensor, weight: torch.Tensor
) -> list[float]:
    """Of this thread, as others take the CPU from it on a busy machine."""
    begun = time.thread_time()
    compute(x, weight, None)
    return [time.thread_time() - begun]


def _made_up(rows: int, columns: int, dtype: torch.dtype) -> torch.Tensor:
    return torch.full((rows, columns), 0.01, dtype=dtype)


def _kernels(way: Way, apart: int | None) -> Kernels:
    if way.widens:
        return cast(Kernels, widening())  # `ways_of` has found it
    if not way.packed_for:
        return Plain()
    kernels = kernels_for(way.dtype, _CPU, way.packed_for)
    if isinstance(kernels, OneDNN):
        kernels.apart_from = apart
    return kernels


def _told(table: Table) -> str:
    """The figures in one line."""
    ways = [
        f"{way} {'/'.join(f'{seconds * 1e3:.1f}' for seconds in rows.values())}"
        for way, rows in table.items()
    ]
    return f"ms at {'/'.join(map(str, STEPS))} rows: {', '.join(ways)}"
