"""Checkpoint: a PEFT adapter folder -> a checked Generation, or AdapterRefused.

Nothing is guessed and nothing is skipped: a tensor that no module takes, a module
without its tensors, a setting that merging would get wrong, all refuse the folder.
Only safetensors is read; a pickle is never opened. Knows no names, no slots.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from hotswap.adapters.deltas import Delta, Generation
from hotswap.adapters.lora_config import CONFIG_FILE, parse
from hotswap.errors import AdapterRefused

WEIGHTS_FILE = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
_FACTORS = (".lora_A.weight", ".lora_B.weight")


@dataclass(frozen=True, slots=True)
class Layout:
    """What the model offers: [out, in] of each linear module, and all its modules."""

    linear: Mapping[str, tuple[int, int]]
    others: frozenset[str]


def read(folder: Path, layout: Layout) -> Generation:
    """Read and check one folder. Raises AdapterRefused; never half a generation."""
    raw_config, raw_weights = _read_files(folder)
    config = parse(raw_config)
    try:
        tensors = load_safetensors(raw_weights)
    except SafetensorError as error:
        raise AdapterRefused(
            "bad_weights", f"{WEIGHTS_FILE} is not a whole safetensors file: {error}"
        ) from None
    factors = _pair(tensors, layout)
    _check_targets(config, factors, layout)
    deltas = {
        module: _delta(module, a, b, config, layout.linear[module])
        for module, (a, b) in sorted(factors.items())
    }
    if not any(
        d.scale and bool(d.b.any()) and bool(d.a.any()) for d in deltas.values()
    ):
        raise AdapterRefused(
            "zero_effect", f"every update in {WEIGHTS_FILE} is zero: it is untrained"
        )
    digest = hashlib.sha256(raw_config + raw_weights).hexdigest()
    return Generation(key=digest[:16], deltas=deltas)


def _read_files(folder: Path) -> tuple[bytes, bytes]:
    contents = []
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        try:
            contents.append((folder / name).read_bytes())
        except OSError as error:
            pickles = sorted(p.name for p in folder.glob("*.bin"))
            hint = ""
            if name == WEIGHTS_FILE and pickles:
                hint = f"; {pickles[0]} is a pickle, which is never opened"
            code = "no_config" if name == CONFIG_FILE else "no_weights"
            reason = error.strerror or "cannot be read"
            raise AdapterRefused(code, f"{name}: {reason}{hint}") from None
    return contents[0], contents[1]


def _pair(
    tensors: Mapping[str, torch.Tensor], layout: Layout
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Group lora_A with lora_B by module; every tensor must find its place."""
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        suffix = next((s for s in _FACTORS if key.endswith(s)), None)
        module = key.removeprefix(_PREFIX).removesuffix(suffix or "")
        if suffix is None:
            raise AdapterRefused(
                "unused_tensor", f"{key} is no LoRA factor of a linear"
            )
        if module in layout.others:
            raise AdapterRefused(
                "not_linear", f"{module} is no linear module: it cannot be merged"
            )
        if module not in layout.linear:
            raise AdapterRefused("unknown_module", f"the model has no module {module}")
        if tensor.dtype not in _DTYPES or not bool(torch.isfinite(tensor).all()):
            raise AdapterRefused(
                "not_finite", f"{key} holds NaN, infinity or {tensor.dtype}"
            )
        half = halves.setdefault(module, {})
        if suffix in half:
            raise AdapterRefused("unused_tensor", f"{module}: {key} is there twice")
        half[suffix] = tensor
    for module, half in halves.items():
        if len(half) != 2:
            raise AdapterRefused("missing_tensor", f"{module} has one factor of two")
    if not halves:
        raise AdapterRefused("missing_tensor", f"{WEIGHTS_FILE} holds no tensors")
    return {m: (half[_FACTORS[0]], half[_FACTORS[1]]) for m, half in halves.items()}


def _check_targets(
    config: LoraConfig, factors: Mapping[str, object], layout: Layout
) -> None:
    """Every target named exists, and every module it matches has its tensors."""
    if config.target_modules == "all-linear" or config.target_modules is None:
        return
    names = [*layout.linear, *layout.others]
    if not isinstance(config.target_modules, str):
        for target in sorted(config.target_modules):
            if not any(n == target or n.endswith(f".{target}") for n in names):
                raise AdapterRefused(
                    "unknown_module",
                    f"{CONFIG_FILE}: no module matches target {target}",
                )
    for module in factors:
        if not check_target_module_exists(config, module):
            raise AdapterRefused(
                "unused_tensor", f"{module} is no target, but has tensors"
            )
    for name in names:
        if check_target_module_exists(config, name) and name not in factors:
            if name in layout.linear:
                raise AdapterRefused(
                    "missing_tensor", f"{name} is a target without tensors"
                )
            if not isinstance(config.target_modules, str):
                raise AdapterRefused(
                    "not_linear", f"{name} is no linear module: it cannot be merged"
                )


def _delta(
    module: str,
    a: torch.Tensor,
    b: torch.Tensor,
    config: LoraConfig,
    shape: tuple[int, int],
) -> Delta:
    rank = _by_pattern(module, config.rank_pattern, config.r)
    alpha = _by_pattern(module, config.alpha_pattern, config.lora_alpha)
    out_features, in_features = shape
    if tuple(a.shape) != (rank, in_features) or tuple(b.shape) != (out_features, rank):
        raise AdapterRefused(
            "wrong_shape",
            f"{module}: lora_A {list(a.shape)} and lora_B {list(b.shape)}, expected "
            f"{[rank, in_features]} and {[out_features, rank]}",
        )
    # rsLoRA: Kalajdzievski 2023, arXiv 2312.03732
    divisor = rank**0.5 if config.use_rslora else rank
    return Delta(a=a, b=b, scale=alpha / divisor)


def _by_pattern(module: str, pattern: Mapping[str, int] | None, default: int) -> int:
    """PEFT's own matching of rank_pattern and alpha_pattern."""
    if not pattern:
        return default
    return pattern.get(get_pattern_key(pattern.keys(), module), default)
