"""The heavy kernels as a step has them: their work, their bytes, how exact they are."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.gpu.setting import Setting
from hotswap.model.gpu.attention_table import (
    AttentionTable,
    fill,
    most_tiles,
    tile_rows,
)
from hotswap.model.gpu.kernels.attention import attend
from hotswap.model.gpu.kernels.lora import expand_add, shrink
from hotswap.model.gpu.kernels.merge import merge
from hotswap.model.gpu.lora_table import LoraTable, TableShape, lora_table
from hotswap.model.network.rows import BLOCK_TOKENS

RANK = 16


@dataclass(frozen=True)
class Case:
    """`nbytes`: what must move. `off`: largest error, by the largest exact number."""

    name: str
    work: Callable[[], object]
    nbytes: int
    off: Callable[[], float]


@dataclass(frozen=True)
class Sizes:
    """Of a model's layer."""

    name: str
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    width: int


LAYERS = (
    Sizes("1b", 2048, 8192, 32, 8, 64),
    Sizes("8b", 4096, 14336, 32, 8, 128),
)
TINY = (Sizes("tiny", 64, 128, 4, 2, 16),)


def error(found: Tensor, exact: Tensor) -> float:
    difference = (found.double() - exact).abs().max() / exact.abs().max()
    return float(difference)


def randn(setting: Setting, *shape: int) -> Tensor:
    torch.manual_seed(sum(shape))
    dtype = torch.bfloat16 if setting.is_cuda else torch.float32
    return torch.randn(shape, device=setting.device).to(dtype)


def merge_case(setting: Setting, sizes: Sizes, factors: torch.dtype) -> Case:
    """Of gate and up, stacked."""
    golden = randn(setting, 2 * sizes.inner, sizes.hidden)
    a = randn(setting, RANK, sizes.hidden).to(factors)
    b = randn(setting, len(golden), RANK).to(factors)
    out = torch.empty_like(golden)
    updates = [(slice(0, len(golden)), a, b, 0.01)]

    def off() -> float:
        merge(golden, updates, out)
        return error(out, golden.double() + 0.01 * (b.double() @ a.double()))

    return Case(
        name=f"{sizes.name} merge, {str(factors)[6:]} factors",
        work=lambda: merge(golden, updates, out),
        nbytes=2 * golden.nbytes,
        off=off,
    )


def attention_case(
    setting: Setting,
    sizes: Sizes,
    sequences: int,
    context: int,
    chunk: int = 1,
    *,
    neighbours: bool = False,
) -> Case:
    """Every sequence has `context` tokens, the last `chunk` of them in this step. Its
    blocks lie scattered, as after hours of serving; `neighbours`: one behind the
    other."""
    heads, kv_heads, width = sizes.heads, sizes.kv_heads, sizes.width
    each = -(-context // BLOCK_TOKENS)
    tokens = sequences * each * BLOCK_TOKENS
    keys, values = randn(setting, 2, tokens, kv_heads, width)
    q = randn(setting, sequences * chunk, heads, width)
    random = torch.Generator().manual_seed(0)
    blocks = torch.randperm(sequences * each, generator=random)
    if neighbours:
        blocks = blocks.sort().values
    table = _table(setting, sizes, blocks, context, chunk)
    scaling = width**-0.5

    def work() -> Tensor:
        return attend(q, keys, values, table, scaling, None)

    def off() -> float:
        mask = torch.ones(chunk, context, dtype=torch.bool, device=q.device)
        mask = mask.tril(context - chunk)
        found = work()[:chunk]
        own = blocks[:each, None] * BLOCK_TOKENS + torch.arange(BLOCK_TOKENS)
        rows = own.flatten()[:context].to(q.device)
        k, v = (
            part[rows].double().repeat_interleave(heads // kv_heads, 1)
            for part in (keys, values)
        )
        exact = F.scaled_dot_product_attention(
            q[:chunk].double().transpose(0, 1),
            k.transpose(0, 1),
            v.transpose(0, 1),
            attn_mask=mask,
        )
        return error(found, exact.transpose(0, 1))

    kind = "decode" if chunk == 1 else f"chunk {chunk}"
    if neighbours:
        kind += ", neighbouring blocks"
    return Case(
        name=f"{sizes.name} attention, {kind}, b {sequences}, context {context}",
        work=work,
        nbytes=keys.nbytes + values.nbytes + 2 * q.nbytes,
        off=off,
    )


def _table(
    setting: Setting, sizes: Sizes, blocks: Tensor, context: int, chunk: int
) -> AttentionTable:
    rows = tile_rows(sizes.heads, sizes.kv_heads)
    sequences = len(blocks) // -(-context // BLOCK_TOKENS)
    names = ("offset", "seen", "first", "count")
    host = {name: torch.zeros(sequences, dtype=torch.int32) for name in names}
    host["block_table"] = torch.zeros(len(blocks), dtype=torch.int32)
    if chunk > 1:
        tiles = most_tiles(sequences * chunk, sequences, rows)
        host["tiles"] = torch.zeros(tiles, 2, dtype=torch.int32)
    every = torch.ones(sequences, dtype=torch.int32)
    fill(
        {name: tensor.numpy() for name, tensor in host.items()},
        blocks.numpy(),
        (every * (context - chunk)).numpy(),
        (every * chunk).numpy(),
        rows,
    )
    return AttentionTable(**{n: t.to(setting.device) for n, t in host.items()})


def lora_case(setting: Setting, sizes: Sizes, rows: int, adapters: int) -> Case:
    """Of gate and up: shrink, then expand and add."""
    pages, out = 2 * adapters, 2 * sizes.inner
    a_pool = randn(setting, pages, 2 * RANK, sizes.hidden)
    b_pool = randn(setting, pages, RANK, out)
    x, y = randn(setting, rows, sizes.hidden), randn(setting, rows, out)
    shape = TableShape(rows, pages)
    owners = [f"a{n % adapters:03}" for n in range(rows)]
    held = {f"a{n:03}": [2 * n] for n in range(adapters)}
    numbers = torch.from_numpy(lora_table(owners, held, shape))
    table = LoraTable(shape, numbers.to(setting.device))
    ends = (sizes.inner, out)

    def add(target: Tensor) -> Tensor:
        return expand_add(shrink(x, a_pool, table), b_pool, table, target, ends)

    def off() -> float:
        found = add(torch.zeros_like(y))
        exact = torch.empty(rows, out, dtype=torch.float64, device=y.device)
        for row in range(rows):
            page = 2 * (row % adapters)
            h = (a_pool[page].double() @ x[row].double()).view(2, RANK)
            for part, start in enumerate((0, sizes.inner)):
                columns = slice(start, start + sizes.inner)
                exact[row, columns] = h[part] @ b_pool[page, :, columns].double()
        return error(found, exact)

    return Case(
        name=f"{sizes.name} lora, b {rows}, {adapters} adapters",
        work=lambda: add(y),
        nbytes=(a_pool.nbytes + b_pool.nbytes) // 2 + 2 * y.nbytes + x.nbytes,
        off=off,
    )
