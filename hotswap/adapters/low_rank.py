"""LowRank: plain LoRA factors -> a Delta for each linear module, or AdapterRefused.

Nothing is guessed and nothing is skipped: a tensor that no module takes, a target
without its tensors, factors of another shape, all refuse the adapter.
"""

from collections.abc import Mapping

import torch
from peft import LoraConfig
from peft.tuners.lora import Linear as LoraLinear
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key
from torch import nn
from transformers.pytorch_utils import Conv1D

from hotswap.adapters.generation import Delta
from hotswap.adapters.keys import PREFIX
from hotswap.adapters.layout import Layout
from hotswap.adapters.peft_config import CHANGED_BASE_INITS
from hotswap.errors import AdapterRefused

_FACTORS = (".lora_A.weight", ".lora_B.weight")


def is_low_rank(tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether there is nothing but factors of linear modules."""
    return all(key.endswith(_FACTORS) for key in tensors)


def deltas(
    config: LoraConfig, tensors: Mapping[str, torch.Tensor], layout: Layout
) -> dict[str, Delta]:
    """By module path, sorted. Raises AdapterRefused."""
    factors = _pair(tensors, layout)
    _check_targets(config, factors, layout)
    return {
        module: _delta(module, a, b, config, layout)
        for module, (a, b) in sorted(factors.items())
    }


def _pair(
    tensors: Mapping[str, torch.Tensor], layout: Layout
) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    """Group lora_A with lora_B by module; every tensor must find its place."""
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        suffix = next(s for s in _FACTORS if key.endswith(s))
        module = key.removeprefix(PREFIX).removesuffix(suffix)
        if module in layout.others:
            raise AdapterRefused(
                "not_linear", f"{module} is no linear module: {key} has no place in it"
            )
        if module not in layout.linear:
            raise AdapterRefused("unknown_module", f"the model has no module {module}")
        half = halves.setdefault(module, {})
        if suffix in half:
            raise AdapterRefused("unused_tensor", f"{module}: {key} is there twice")
        half[suffix] = tensor
    for module, half in halves.items():
        if len(half) != 2:
            raise AdapterRefused("missing_tensor", f"{module} has one factor of two")
    return {m: (half[_FACTORS[0]], half[_FACTORS[1]]) for m, half in halves.items()}


def _check_targets(
    config: LoraConfig, factors: Mapping[str, object], layout: Layout
) -> None:
    """Every module that is a target has its tensors, and no other has any."""
    if config.target_modules == "all-linear" or config.target_modules is None:
        return
    for module in factors:
        if not check_target_module_exists(config, module):
            raise AdapterRefused(
                "unused_tensor", f"{module} is no target, but has tensors"
            )
    for name in (*layout.linear, *layout.others):
        is_named = name in layout.linear or not isinstance(config.target_modules, str)
        if (
            is_named
            and name not in factors
            and check_target_module_exists(config, name)
        ):
            raise AdapterRefused(
                "missing_tensor", f"{name} is a target without tensors"
            )


def _delta(
    module: str, a: torch.Tensor, b: torch.Tensor, config: LoraConfig, layout: Layout
) -> Delta:
    rank = _by_pattern(module, config.rank_pattern, config.r)
    alpha = _by_pattern(module, config.alpha_pattern, config.lora_alpha)
    out_features, in_features = layout.linear[module]
    if tuple(a.shape) != (rank, in_features) or tuple(b.shape) != (out_features, rank):
        raise AdapterRefused(
            "wrong_shape",
            f"{module}: lora_A {list(a.shape)} and lora_B {list(b.shape)}, expected "
            f"{[rank, in_features]} and {[out_features, rank]}",
        )
    # rsLoRA: Kalajdzievski 2023, arXiv 2312.03732
    scale = alpha / (rank**0.5 if config.use_rslora else rank)
    if config.init_lora_weights not in CHANGED_BASE_INITS:
        return Delta(a=a, b=b, scale=scale)
    # Trained beside the base less its first factors: one update of twice the rank.
    first_a, first_b = _first_factors(module, rank, alpha, config, layout)
    return Delta(
        a=torch.cat((a.float(), first_a)),
        b=torch.cat((b.float(), -first_b), 1),
        scale=scale,
    )


def _first_factors(
    module: str, rank: int, alpha: float, config: LoraConfig, layout: Layout
) -> tuple[torch.Tensor, torch.Tensor]:
    """A and B as PEFT's own initialisation computes them from the base."""
    is_turned = isinstance(layout.skeleton.get_submodule(module), Conv1D)
    if is_turned and config.init_lora_weights == "olora":
        # PEFT decomposes it in the module's orientation, and loads what does not fit.
        raise AdapterRefused("unsupported", f"OLoRA on {module}, a Conv1D")
    weight = layout.matrix(module)
    base = nn.Linear(weight.shape[1], weight.shape[0], bias=False, device="meta")
    base.weight = nn.Parameter(weight.to("cpu", torch.float32, copy=True))
    plain = LoraConfig(
        use_rslora=config.use_rslora, init_lora_weights=config.init_lora_weights
    )
    layer = LoraLinear(base, "default", config=plain, r=rank, lora_alpha=alpha)
    first_a, first_b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    return first_a.detach(), first_b.detach()


def _by_pattern(module: str, pattern: Mapping[str, int] | None, default: int) -> int:
    """PEFT's own matching of rank_pattern and alpha_pattern."""
    if not pattern:
        return default
    return pattern.get(get_pattern_key(pattern.keys(), module), default)
