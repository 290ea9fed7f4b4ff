"""PeftConfig: adapter_config.json -> PEFT's own configuration, or AdapterRefused.

The fields that decide what an adapter computes are checked strictly, before PEFT sees
them. What cannot be merged exactly is refused by name.
"""

import json

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from hotswap.adapters import foreign
from hotswap.adapters.settings import (
    LORA,
    brief,
    known,
    refused,
    unusual,
)
from hotswap.error_boundary import error_boundary
from hotswap.errors import AdapterRefused

# Each is compared with PEFT's own merged output in tests/hotswap/test_formats.py.
_MERGEABLE = frozenset(
    "LORA ADALORA BEFT BOFT C3A DEFT DELORA FOURIERFT GLORA GRALORA HIRA HRA IA3 "
    "LN_TUNING LOHA LOKR MISS OFT PEANUT PVERA RANDLORA ROAD SHIRA SUPERTUNING "
    "TINYLORA TRAINABLE_TOKENS UNILORA VBLORA VERA WAVEFT".split()
)
_ADDS_TOKENS = "it adds tokens to the prompt and changes no weights"
_FROM_BASE = "its file does not hold all of it: PEFT computes the rest from the base"
_REFUSED = {
    "ADAPTION_PROMPT": "it adds attention beside the weights",
    "CARTRIDGE": "it adds keys and values and changes no weights",
    "CPT": _ADDS_TOKENS,
    "FROD": _FROM_BASE,
    "LILY": "its layers share factors that PEFT cannot merge",
    "MULTITASK_PROMPT_TUNING": _ADDS_TOKENS,
    "OSF": _FROM_BASE,
    "POLY": "its weights depend on the task of each request",
    "PREFIX_TUNING": "it adds keys and values and changes no weights",
    "PROMPT_TUNING": _ADDS_TOKENS,
    "PSOFT": _FROM_BASE,
    "P_TUNING": _ADDS_TOKENS,
    "SHADOW": "it adds layers beside the weights",
    "XLORA": "its weights depend on each token",
}
# Settings of LoRA and its kin under which no one weight computes what was trained.
_UNSUPPORTED: dict[str, str] = {
    "alora_invocation_tokens": "aLoRA acts on some tokens only: it cannot be merged",
    "use_qalora": "QALoRA pools the input: it cannot be merged",
    "arrow_config": "Arrow chooses an adapter for each token: it cannot be merged",
    "monteclora_config": "MonteCLoRA draws its weights at random",
    "kasa_config": "KaSA computes the adapter from a changed base",
    "use_bdlora": "BD-LoRA's blocks are not supported",
    "target_parameters": "parameters as targets are not supported",
    "layer_replication": "it changes the number of layers",
    "megatron_config": "Megatron's layers are not supported",
}
# The same for the other types: the only value under which they can be merged.
_NEEDED: dict[str, tuple[str, bool, str]] = {
    "PVERA": ("sample_at_inference", False, "it draws its weights at random"),
    "SUPERTUNING": ("save_precomputed_indices", True, _FROM_BASE),
    "TINYLORA": ("save_projection", True, _FROM_BASE),
}
# Whatever is more than a low-rank update of linear modules, with its neutral value.
_MORE: dict[str, object] = {
    "use_dora": False,
    "lora_bias": False,
    "bias": "none",
    "modules_to_save": None,
    "trainable_token_indices": None,
}
# These leave the base as it is. The others compute the adapter from a changed base,
# which PiSSA and OLoRA can compute again: see `low_rank`.
_PLAIN_INITS = (True, False, "gaussian", "orthogonal", "eva", "mica")
CHANGED_BASE_INITS = ("pissa", "olora")


# Trained for another end of the model than the one that is served
_HEADS = ("SEQ_CLS", "TOKEN_CLS", "QUESTION_ANS")


def parse(raw: bytes) -> PeftConfig:
    """The file's content as PEFT understands it. Raises AdapterRefused."""
    fields = _decode(raw)
    _check_served(fields)
    given = known(fields, str(fields["peft_type"]))
    kind = PEFT_TYPE_TO_CONFIG_MAPPING[str(fields["peft_type"])]

    def fault(said: str) -> AdapterRefused:
        # Whatever PEFT finds wrong with a value, it is the file that is at fault.
        return refused("bad_config", f"{said} ({unusual(given, kind)})")

    with error_boundary(fault):
        return PeftConfig.from_peft_type(**{**given, "inference_mode": True})


def _check_served(fields: dict[str, object]) -> None:
    """Settings of types that are served under which they are not."""
    if fields.get("task_type") in _HEADS:
        raise refused(
            "foreign",
            f"task_type={fields['task_type']!r}: it was trained to classify, with a "
            "head in place of the model's; only text generation (CAUSAL_LM) is served",
        )
    for key, why in _UNSUPPORTED.items():
        if fields.get(key) not in (None, False, []):
            raise refused("unsupported", f"{key}={brief(fields[key])}: {why}")
    if fields["peft_type"] == LORA:
        init = fields.get("init_lora_weights", True)
        is_known = init in (*_PLAIN_INITS, *CHANGED_BASE_INITS)
        if isinstance(init, str) and not is_known:
            raise refused(
                "changed_base",
                f"init_lora_weights={brief(init)} computes the adapter from a changed "
                "base; save it with path_initial_model_for_weight_conversion",
            )
        if init in CHANGED_BASE_INITS and more_than_low_rank(fields):
            more = ", ".join(more_than_low_rank(fields))
            raise refused(
                "unsupported", f"init_lora_weights={init!r} together with {more}"
            )
    key, needed, why = _NEEDED.get(str(fields["peft_type"]), ("", True, ""))
    if fields.get(key, needed) is not needed:
        raise refused("unsupported", f"{key}={brief(fields[key])}: {why}")


def more_than_low_rank(fields: dict[str, object]) -> list[str]:
    """The settings of a LoRA that no low-rank update of linear modules expresses."""
    return [
        key
        for key, neutral in _MORE.items()
        if fields.get(key) not in (neutral, None, [], {})
    ]


def _decode(raw: bytes) -> dict[str, object]:
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, too deep
        raise refused("bad_config", f"it is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise refused("bad_config", "it is not a JSON object")
    kind = fields.get("peft_type")
    if not isinstance(kind, str) or kind not in _MERGEABLE:
        foreign.check_config(fields)
        why = _REFUSED.get(str(kind), "no type that is known to merge")
        raise refused("peft_type", f"peft_type {brief(kind)} is not served: {why}")
    return fields
