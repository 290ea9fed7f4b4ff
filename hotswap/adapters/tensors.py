"""Tensors: the bytes of a safetensors file -> what an adapter may hold, or refused."""

from collections.abc import Mapping

import torch
from safetensors.torch import load as load_safetensors

from hotswap.adapters import foreign
from hotswap.adapters.file_names import WEIGHTS_FILE
from hotswap.adapters.keys import PREFIX, renamed
from hotswap.adapters.layout import Layout
from hotswap.adapters.settings import LORA
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused

_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_INDICES = (torch.int64, torch.int32, torch.int16, torch.uint8)
# The header takes some 150 bytes a tensor, and to read it many times as much memory.
_HEADER = 1 << 20
_HEADER_OF_MODULE = 1 << 10


def tensors_of(
    raw: bytes, kind: str, layout: Layout
) -> tuple[Mapping[str, torch.Tensor], tuple[str, ...]]:
    """All of the file, under PEFT's names, and what to warn of.

    Raises AdapterRefused.
    """
    modules = [*layout.linear, *layout.others]
    _check_header(raw, _HEADER + _HEADER_OF_MODULE * len(modules))
    with error_boundary(_not_whole):
        # In one order, so that what is refused is refused with the same words.
        tensors: dict[str, torch.Tensor] = dict(sorted(load_safetensors(raw).items()))
    if not tensors:
        raise AdapterRefused("missing_tensor", f"{WEIGHTS_FILE} holds no tensors")
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    foreign.check_tensors(kind, shapes, modules)
    known = _DTYPES if kind == LORA else (*_DTYPES, *_INDICES)
    for key, tensor in tensors.items():
        if tensor.dtype not in known or not bool(torch.isfinite(tensor).all()):
            raise AdapterRefused(
                "not_finite", f"{key} holds NaN, infinity or {tensor.dtype}"
            )
    return renamed(tensors, layout)


def without_copies(
    tensors: Mapping[str, torch.Tensor], layout: Layout, mark: str = ""
) -> dict[str, torch.Tensor]:
    """Less the base weights that PEFT saves along with an embedding or a head, if they
    are golden's own; only those with `mark` in their names are looked at."""
    return {
        key: tensor
        for key, tensor in tensors.items()
        if mark not in key or not _is_copy(key, tensor, layout)
    }


def _is_copy(key: str, tensor: torch.Tensor, layout: Layout) -> bool:
    path, _, name = key.removeprefix(PREFIX).rpartition(".")
    golden = layout.golden.get(path.removesuffix(".base_layer"), {}).get(name)
    if golden is None or golden.shape != tensor.shape:
        return False
    golden = golden.to("cpu")
    # One of the two was rounded to the other's type.
    return torch.equal(tensor.to(golden.dtype), golden) or torch.equal(
        tensor, golden.to(tensor.dtype)
    )


def _check_header(raw: bytes, most: int) -> None:
    size = int.from_bytes(raw[:8], "little")
    if len(raw) < 8 or size > len(raw) - 8:
        raise _not_whole("its header says that there is more")
    if size > most:
        raise AdapterRefused(
            "bad_weights",
            f"{WEIGHTS_FILE}: its header has {size} bytes; for this model the limit is "
            f"{most}",
        )


def _not_whole(said: str) -> AdapterRefused:
    return AdapterRefused(
        "bad_weights", f"{WEIGHTS_FILE} is not a whole safetensors file: {said}"
    )
