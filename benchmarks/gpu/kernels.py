"""Each kernel: its error against float64, its time against its bytes at full speed."""

from collections.abc import Iterator

import torch
from torch.nn import functional as F

from benchmarks.gpu.cases import (
    LAYERS,
    TINY,
    Case,
    Sizes,
    attention_case,
    error,
    lora_case,
    merge_case,
    randn,
)
from benchmarks.gpu.setting import Figures, Setting
from hotswap.model.gpu.kernels.activation import silu_mul
from hotswap.model.gpu.kernels.norm import rms_norm
from hotswap.model.gpu.kernels.rotary import rotate_and_write

_BANDWIDTH = 3.35e12  # bytes per second of an 80 GB H100


def run(setting: Setting) -> Figures:
    for sizes in TINY if setting.tiny else LAYERS:
        for case in (*_heavy(setting, sizes), *_small(setting, sizes)):
            took_ms = setting.milliseconds(case.work)
            yield f"{case.name}, us", took_ms * 1e3
            yield f"{case.name}, times its floor", took_ms / _floor_ms(case)
            yield f"{case.name}, error", case.off()


def _floor_ms(case: Case) -> float:
    return case.nbytes / _BANDWIDTH * 1e3


def _heavy(setting: Setting, sizes: Sizes) -> Iterator[Case]:
    for factors in (torch.bfloat16, torch.float32):
        yield merge_case(setting, sizes, factors)
    if setting.tiny:
        yield attention_case(setting, sizes, 2, 24)
        yield attention_case(setting, sizes, 2, 24, neighbours=True)
        yield attention_case(setting, sizes, 1, 24, chunk=8)
        yield lora_case(setting, sizes, 3, 2)
        return
    for sequences, context in ((1, 512), (1, 8192), (16, 512), (64, 512), (256, 512)):
        yield attention_case(setting, sizes, sequences, context)
    # What finding scattered blocks takes: beside the same, one behind the other
    for sequences, context in ((1, 8192), (64, 512)):
        yield attention_case(setting, sizes, sequences, context, neighbours=True)
    for chunk in (512, 2048):
        yield attention_case(setting, sizes, 1, 2048 + chunk, chunk)
    for rows, adapters in ((1, 1), (16, 4), (64, 16), (256, 16)):
        yield lora_case(setting, sizes, rows, adapters)


def _small(setting: Setting, sizes: Sizes) -> Iterator[Case]:
    for rows in (2,) if setting.tiny else (1, 64, 2048):
        yield _norm(setting, sizes, rows)
        yield _activation(setting, sizes, rows)
        yield _rotary(setting, sizes, rows)


def _norm(setting: Setting, sizes: Sizes, rows: int) -> Case:
    x, weight = randn(setting, rows, sizes.hidden), randn(setting, sizes.hidden)
    wide = x.double()
    normed = wide / (wide.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    return Case(
        name=f"{sizes.name} norm, {rows} rows",
        work=lambda: rms_norm(x, weight, 1e-5),
        nbytes=2 * x.nbytes,
        off=lambda: error(rms_norm(x, weight, 1e-5), normed * weight.double()),
    )


def _activation(setting: Setting, sizes: Sizes, rows: int) -> Case:
    gate_up = randn(setting, rows, 2 * sizes.inner)
    gate, up = gate_up.double().chunk(2, dim=-1)
    return Case(
        name=f"{sizes.name} activation, {rows} rows",
        work=lambda: silu_mul(gate_up),
        nbytes=gate_up.nbytes * 3 // 2,
        off=lambda: error(silu_mul(gate_up), F.silu(gate) * up),
    )


def _rotary(setting: Setting, sizes: Sizes, rows: int) -> Case:
    """Its error is that of the values, which are copied: zero."""
    heads, kv_heads, width = sizes.heads, sizes.kv_heads, sizes.width
    qkv = randn(setting, rows, (heads + 2 * kv_heads) * width)
    keys, values = randn(setting, 2, rows, kv_heads, width)
    cos, sin = torch.ones(2, rows, width, device=setting.device)
    places = torch.arange(rows, dtype=torch.int32, device=setting.device)

    def work() -> torch.Tensor:
        return rotate_and_write(qkv, cos, sin, places, places, keys, values, heads)

    def off() -> float:
        work()
        first = (heads + kv_heads) * width
        return error(values.flatten(1), qkv[:, first:].double())

    return Case(
        name=f"{sizes.name} rotary, {rows} rows",
        work=work,
        nbytes=2 * qkv.nbytes,
        off=off,
    )
