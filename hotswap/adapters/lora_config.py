"""LoraConfig: adapter_config.json -> PEFT's LoraConfig, or AdapterRefused.

The fields that decide what an adapter computes are checked strictly, before PEFT sees
them; settings that this server would get wrong are refused by name.
"""

import json
import re
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from peft import LoraConfig

from hotswap.errors import AdapterRefused

CONFIG_FILE = "adapter_config.json"

Rank = Annotated[int, Meta(ge=1)]
Alpha = Annotated[float, Meta(ge=-1e9, le=1e9)]

# Neutral values of settings that change what the adapter computes in other ways.
_NEUTRAL: dict[str, object] = {
    "bias": "none",
    "use_dora": False,
    "use_qalora": False,
    "lora_bias": False,
    "modules_to_save": None,
    "target_parameters": None,
    "trainable_token_indices": None,
    "alora_invocation_tokens": None,
    "layer_replication": None,
    "megatron_config": None,
    "use_bdlora": None,
    "arrow_config": None,
    "kasa_config": None,
    "monteclora_config": None,
}
# The others compute the adapter from changed base weights.
_PLAIN_INITS = (True, False, "gaussian", "orthogonal", "eva")


class _Fields(Struct, frozen=True, kw_only=True):
    peft_type: Literal["LORA"]
    r: Rank = 8
    lora_alpha: Alpha = 8
    use_rslora: bool = False
    rank_pattern: dict[str, Rank] | None = None
    alpha_pattern: dict[str, Alpha] | None = None
    target_modules: str | list[str] | None = None


def parse(raw: bytes) -> LoraConfig:
    """The file's content as PEFT understands it. Raises AdapterRefused."""
    fields = _decode(raw)
    for key, neutral in _NEUTRAL.items():
        if fields.get(key) not in (neutral, None, []):
            raise _refused("unsupported", f"{key}={fields[key]!r} is not supported")
    init = fields.get("init_lora_weights", True)
    if init not in _PLAIN_INITS:
        why = "it changes the base weights, which is not supported"
        raise _refused("unsupported", f"init_lora_weights={init!r}: {why}")
    try:
        config = LoraConfig.from_peft_type(**fields)
    except Exception as error:
        # Whatever PEFT finds wrong with a value, it is the file that is at fault.
        raise _refused("bad_config", f"{type(error).__name__}: {error}") from None
    assert isinstance(config, LoraConfig)
    return config


def _decode(raw: bytes) -> dict[str, object]:
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, too deep
        raise _refused("bad_config", f"it is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise _refused("bad_config", "it is not a JSON object")
    if fields.get("peft_type") != "LORA":
        raise _refused("peft_type", f"peft_type {fields.get('peft_type')!r}, not LORA")
    try:
        checked = msgspec.convert(fields, _Fields)
    except msgspec.ValidationError as error:
        raise _refused("bad_config", str(error)) from None
    patterns = [*(checked.rank_pattern or ()), *(checked.alpha_pattern or ())]
    if isinstance(checked.target_modules, str):
        patterns.append(checked.target_modules)
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as error:
            raise _refused(
                "bad_config", f"{pattern!r} is no pattern: {error}"
            ) from None
    return fields


def _refused(code: str, reason: str) -> AdapterRefused:
    return AdapterRefused(code, f"{CONFIG_FILE}: {reason}")
