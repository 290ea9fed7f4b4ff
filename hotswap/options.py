"""Options: DJL Serving's and vLLM's settings for LoRA, by their own names.

Each is a key of the section [lora], and `option.NAME` or OPTION_NAME for
`hotswap/djl_config/`. It acts, or is one of `NEVER_ACT`: a value that could not be
honoured ends the start, one without which nothing is lost is warned about in one line.
None is ignored in silence.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal, TypeVar

from msgspec import Meta, Struct

from hotswap.errors import StartFailed

Count = Annotated[int, Meta(ge=1)]
Auto = Literal["auto"]
_T = TypeVar("_T")


def unless_auto(value: _T | Auto) -> _T | None:
    """None for "auto", which leaves the choice to the part that is configured: here
    alone the word has a meaning."""
    return None if value == "auto" else value


class LoraConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # If false, nothing is watched or registered: the bare model alone is served.
    enable_lora: bool = True
    # Most different adapters in one mixed step; "auto" is no limit.
    max_loras: Count | Auto = "auto"
    # Adapters of a higher rank are refused; "auto" is no limit.
    max_lora_rank: Count | Auto = "auto"
    # Adapters kept in host memory, others are read again when they are asked for;
    # "auto" is no limit but the memory.
    max_cpu_loras: Count | Auto = "auto"
    # Last parts of the names of modules that may be adapted; empty is all.
    target_modules: list[str] = []
    # "auto" is the model's own; another is refused.
    lora_dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    # Known, but without a meaning here: see NEVER_ACT.
    fully_sharded_loras: bool | None = None
    lora_extra_vocab_size: Annotated[int, Meta(ge=0)] | None = None
    long_lora_scaling_factors: str | float | list[float] | None = None
    is_peft_model: bool | None = None
    default_mm_loras: dict[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverActs:
    """`reason`: what a person who has set it is told. `ends_start`: answers would not
    be those that were asked for. `harmless`: the value that asks for nothing."""

    reason: str
    ends_start: bool = False
    harmless: object = None


NEVER_ACT = {
    "fully_sharded_loras": NeverActs(
        reason="there is one device, nothing to shard", harmless=False
    ),
    "lora_extra_vocab_size": NeverActs(
        reason="no limit is needed, nothing is set aside for tokens that adapters add"
    ),
    "long_lora_scaling_factors": NeverActs(
        reason="long-context LoRA is not supported", ends_start=True
    ),
    "is_peft_model": NeverActs(
        reason="serve the base model and put the PEFT model into the adapters "
        "directory",
        ends_start=True,
        harmless=False,
    ),
    "default_mm_loras": NeverActs(
        reason="the model has no modality but text", ends_start=True, harmless={}
    ),
}


def check(lora: LoraConfig) -> None:
    """Raises StartFailed for what would change answers if it were ignored."""
    for key, why in _set_in_vain(lora):
        if why.ends_start:
            raise StartFailed(f"lora.{key}: {why.reason}")
    most, kept = unless_auto(lora.max_loras), unless_auto(lora.max_cpu_loras)
    if most is not None and kept is not None and kept < most:
        raise StartFailed(
            f"lora.max_cpu_loras: {kept} is less than lora.max_loras = {most}"
        )


def check_dtype(lora: LoraConfig, dtype: str) -> None:
    """Raises StartFailed if `lora_dtype` is not the model's type."""
    if unless_auto(lora.lora_dtype) not in (None, dtype):
        raise StartFailed(
            f"lora.lora_dtype: {lora.lora_dtype} is not the model's type, {dtype}, in "
            "which every adapter runs"
        )


def warnings(lora: LoraConfig) -> list[str]:
    """A line for each value that is set and has nothing to act on."""
    return [
        f"lora.{key}: {why.reason}"
        for key, why in _set_in_vain(lora)
        if not why.ends_start
    ]


def _set_in_vain(lora: LoraConfig) -> Iterator[tuple[str, NeverActs]]:
    for key, why in NEVER_ACT.items():
        if getattr(lora, key) not in (None, why.harmless):
            yield key, why
