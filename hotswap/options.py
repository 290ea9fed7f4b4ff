"""Options: DJL Serving's and vLLM's settings for LoRA, by their own names.

Each is a key of the section [lora] and an environment variable OPTION_NAME. It acts,
or a value that could not be honoured ends the start, or, where nothing is lost without
it, is warned about in one line. None is ignored in silence.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hotswap.errors import StartFailed

Count = Annotated[int, Meta(ge=1)]
_PREFIX = "OPTION_"


class Lora(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # false: nothing is watched or registered, the bare model alone is served.
    enable_lora: bool = True
    # Most different adapters in one mixed step; "auto" is no limit.
    max_loras: Count | Literal["auto"] = "auto"
    # Adapters of a higher rank are refused; "auto" is no limit.
    max_lora_rank: Count | Literal["auto"] = "auto"
    # Adapters kept in host memory; others are read again when they are asked for.
    max_cpu_loras: Count | Literal["auto"] = "auto"
    # Last parts of the names of modules that may be adapted; empty is all.
    target_modules: list[str] = []
    # "auto" is the model's own; another is refused.
    lora_dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    # Known, but without a meaning here: see `check` and `warnings`.
    fully_sharded_loras: bool | None = None
    lora_extra_vocab_size: Annotated[int, Meta(ge=0)] | None = None
    long_lora_scaling_factors: str | float | list[float] | None = None
    is_peft_model: bool | None = None
    default_mm_loras: dict[str, str] | None = None


def from_environment(environment: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What OPTION_... variables set, by section. Raises StartFailed.

    OPTION_ADAPTERS is the directory that is watched.
    """
    lora: dict[str, Any] = {}
    found: dict[str, dict[str, Any]] = {"lora": lora}
    fields = {field.name: field.type for field in msgspec.structs.fields(Lora)}
    for variable, text in environment.items():
        key = variable.removeprefix(_PREFIX).lower()
        if variable == f"{_PREFIX}ADAPTERS":
            found["adapters"] = {"directory": text}
        elif variable.startswith(_PREFIX) and key in fields:
            try:
                lora[key] = msgspec.convert(
                    _value(key, text), fields[key], strict=False
                )
            except msgspec.MsgspecError as error:
                raise StartFailed(f"environment {variable}={text}: {error}") from None
    return found


def unknown(environment: Mapping[str, str]) -> list[str]:
    """OPTION_... variables that mean nothing here, as lines to warn with."""
    known = {f"{_PREFIX}{name.upper()}" for name in Lora.__struct_fields__}
    known.add(f"{_PREFIX}ADAPTERS")
    return [
        f"environment {variable}: this server has no such option"
        for variable in sorted(environment)
        if variable.startswith(_PREFIX) and variable not in known
    ]


def check(lora: Lora) -> None:
    """Raises StartFailed for what would change answers if it were ignored."""
    if lora.long_lora_scaling_factors is not None:
        raise StartFailed(
            "lora.long_lora_scaling_factors: long-context LoRA is not supported"
        )
    if lora.is_peft_model:
        raise StartFailed(
            "lora.is_peft_model: serve the base model and put the PEFT model into the "
            "adapters directory"
        )
    if lora.default_mm_loras:
        raise StartFailed("lora.default_mm_loras: the model has no modality but text")
    most, kept = lora.max_loras, lora.max_cpu_loras
    if most != "auto" and kept != "auto" and kept < most:
        raise StartFailed(
            f"lora.max_cpu_loras: {kept} is less than lora.max_loras = {most}"
        )


def check_dtype(lora: Lora, dtype: str) -> None:
    """Raises StartFailed if `lora_dtype` is not the model's type."""
    if lora.lora_dtype not in ("auto", dtype):
        raise StartFailed(
            f"lora.lora_dtype: {lora.lora_dtype} is not the model's type, {dtype}, in "
            "which every adapter runs"
        )


def warnings(lora: Lora) -> list[str]:
    """A line for each value that is set and has nothing to act on."""
    lines = []
    if lora.fully_sharded_loras:
        lines.append("lora.fully_sharded_loras: there is one device, nothing to shard")
    if lora.lora_extra_vocab_size is not None:
        lines.append(
            "lora.lora_extra_vocab_size: no limit is needed, nothing is set aside for "
            "tokens that adapters add"
        )
    return lines


def _value(key: str, text: str) -> Any:
    """A variable's text as what the file would hold."""
    if key == "target_modules" and not text.startswith("["):
        return [part.strip() for part in text.split(",")]
    if text.startswith(("[", "{")):
        return msgspec.json.decode(text)
    return text
