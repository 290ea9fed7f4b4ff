"""Keys that act: those of DJL Serving's that set something here.

Names and meanings: DJL's `configurations_model.md`, `configurations_global.md` and
`adapters.md`, and vLLM's EngineArgs, to which DJL hands what it does not know.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from hotswap.djl_config import key_values
from hotswap.djl_config.rules import Locates, Rule, Sets
from hotswap.options import LoraConfig

Values = Callable[[str], Sequence[Any]]

_LORA_TEXTS: Mapping[str, Values] = {
    "target_modules": key_values.list_or_json,
    "default_mm_loras": key_values.json_or_text,
    "long_lora_scaling_factors": key_values.json_or_text,
    "lora_dtype": key_values.dtype,
}


def _sets(key: str, values: Values = key_values.plain, about: str = "") -> Sets:
    return Sets((key,), values, about)


LORA: Mapping[str, Rule] = {
    f"option.{field.name}": _sets(
        f"lora.{field.name}", _LORA_TEXTS.get(field.name, key_values.plain)
    )
    for field in msgspec.structs.fields(LoraConfig)
}

LOCATED: Mapping[str, Rule] = {
    "option.served_model_name": Locates(
        "What answers call the model, beside DJL's name and its own."
    ),
    "option.model_id": Locates(
        "The model: a folder (a relative one starts at the properties file), a hub id, "
        "or a URL. Without it the folder itself is the model."
    ),
    "option.revision": Locates(
        "The branch or commit of a hub id, which becomes `hf://ID@REVISION`."
    ),
    "option.adapters": Locates(
        "The directory of adapters, which is watched: a relative one starts at the "
        "properties file. Without it, `adapters` there or in the model's folder, if "
        "there is one. (DJL knows no other name.)"
    ),
    "option.entryPoint": Locates(
        "`FILE.py` in the folder is `hooks.handler`, as `model.py` is where the key is "
        "missing; DJL's own handlers of language models (`djl_python.huggingface`, "
        "`djl_python.lmi_vllm...`) are what is built in here. Any other ends the start."
    ),
}

MODEL: Mapping[str, Rule] = {
    "option.dtype": _sets(
        "model.dtype", key_values.dtype, "`fp32`, `fp16`, `bf16` or the full names."
    ),
    "option.max_model_len": _sets("model.max_model_len"),
    "option.device": _sets("model.device"),
    "load_on_devices": _sets(
        "model.device",
        key_values.device,
        "`-1` and `cpu` are the CPU, `gpu2` and `2` are `cuda:2`, `*` and `0` are "
        "`auto`. One device serves: the first of a list.",
    ),
    "option.tool_call_parser": _sets("model.tool_parser"),
    "option.reasoning_parser": _sets("model.reasoning_parser"),
    "option.enable_prefix_caching": _sets("memory.prefix_cache"),
}

SCHEDULE: Mapping[str, Rule] = {
    "option.max_rolling_batch_size": _sets("schedule.max_batch"),
    "option.max_num_seqs": _sets("schedule.max_batch"),
    "option.max_rolling_batch_prefill_tokens": _sets("schedule.prefill_tokens"),
    "option.max_num_batched_tokens": _sets("schedule.prefill_tokens"),
    "job_queue_size": _sets(
        "schedule.max_waiting", about="More are 429 here, where DJL says 503."
    ),
}

_BODY = ("limits.body_bytes", "limits.all_bodies_bytes")
_HTTPS = "Only where the address is https://."
_ALL_BODIES = "All bodies together may have as much, or 64 MiB."

# Of the server, not of a model: SERVING_NAME of the environment alone, or the variable
# that is named.
SERVER: Mapping[str, Rule] = {
    "model_store": Locates(
        "Where a start without MODEL looks for the model's folder; `/opt/ml/model` "
        "without it."
    ),
    "load_models": Locates(
        "What a start without MODEL serves: one of `PATH`, `NAME=PATH`, "
        "`[NAME:VERSION:ENGINE:DEVICES]=PATH`; `ALL` is what the store holds."
    ),
    "inference_address": Sets(
        ("server.host", "server.port"),
        key_values.address,
        "https:// needs the next two.",
    ),
    "certificate_file": _sets("server.tls_cert", about=_HTTPS),
    "private_key_file": _sets("server.tls_key", about=_HTTPS),
    "cors_allowed_origin": _sets("server.cors_origins", key_values.origins),
    "max_request_size": Sets(_BODY, key_values.body_bytes, _ALL_BODIES),
    "SAGEMAKER_MAX_REQUEST_SIZE": Sets(_BODY, key_values.body_bytes, _ALL_BODIES),
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": Sets(_BODY, key_values.body_mib, _ALL_BODIES),
    "HF_MODEL_ID": Locates(
        "What a start without MODEL serves: a folder, a URL or a hub id, of "
        "`HF_REVISION`; `HF_TASK` is its `option.task`."
    ),
}

THAT_ACT: Mapping[str, Rule] = {**LOCATED, **MODEL, **LORA, **SCHEDULE}
