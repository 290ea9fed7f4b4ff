"""Block sizes of the three kernels that matter: merge, decode attention, LoRA.

Tells the time for each setting of the constants at the top of their files, as they are
there first. Nothing is kept: whoever reads this changes the constant.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType

import torch

from benchmarks.gpu.cases import (
    LAYERS,
    TINY,
    Case,
    attention_case,
    lora_case,
    merge_case,
)
from benchmarks.gpu.setting import Figures, Setting
from hotswap.model.gpu.kernels import attention_decode, lora, merge

_MERGE = [
    {"BLOCK_ROWS": rows, "BLOCK_COLUMNS": columns, "WARPS": warps}
    for rows, columns, warps in (
        (64, 128, 8),
        (64, 128, 4),
        (64, 256, 8),
        (128, 128, 8),
        (64, 64, 4),
        (32, 256, 8),
    )
]
_SPLIT = [{"_PROGRAMS": programs} for programs in (264, 132, 528, 1056)]
_TILES = (32, 64, 128)
_LORA = [
    {"_SLICE": columns, "_GROUPS": groups}
    for columns, groups in ((512, 32), (256, 32), (1024, 32), (512, 16), (512, 64))
]


def run(setting: Setting) -> Figures:
    sizes = (TINY if setting.tiny else LAYERS)[-1]
    few = 1 if setting.tiny else None
    batch, context, adapters = (2, 24, 2) if setting.tiny else (64, 512, 16)
    for factors in (torch.bfloat16, torch.float32):
        case = merge_case(setting, sizes, factors)
        yield from _swept(setting, case, merge, _MERGE[:few])
        if factors is torch.float32:
            precise = [{"PRECISION": "ieee"}, {"PRECISION": "tf32x3"}]
            yield from _swept(setting, case, merge, precise)
    for sequences in (batch,) if setting.tiny else (1, batch):
        case = attention_case(setting, sizes, sequences, context)
        yield from _swept(setting, case, attention_decode, _SPLIT[:few])
        yield from _swept(setting, case, attention_decode, _key_tiles()[:few])
    case = lora_case(setting, sizes, batch, adapters)
    yield from _swept(setting, case, lora, _LORA[:few])


def _swept(
    setting: Setting,
    case: Case,
    module: ModuleType,
    settings: Sequence[Mapping[str, object]],
) -> Figures:
    for each in settings:
        said = ", ".join(f"{name} {_word(value)}" for name, value in each.items())
        with _set(module, each):
            try:
                found: object = round(setting.milliseconds(case.work) * 1e3, 2)
            except Exception as error:  # too much shared memory: the next one may do
                found = type(error).__name__
        yield f"sweep, {case.name}, {said}, us", found


class _Tile:
    """A key tile of so many keys, whatever the type."""

    def __init__(self, keys: int) -> None:
        self.keys = keys

    def __call__(self, dtype: torch.dtype, dim: int) -> int:
        return self.keys


def _key_tiles() -> list[dict[str, object]]:
    return [{"_key_tile": _Tile(keys)} for keys in _TILES]


def _word(value: object) -> str:
    return str(value.keys) if isinstance(value, _Tile) else str(value)


@contextmanager
def _set(module: ModuleType, values: Mapping[str, object]) -> Iterator[None]:
    before = {name: getattr(module, name) for name in values}
    try:
        for name, value in values.items():
            setattr(module, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)
