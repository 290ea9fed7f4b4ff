"""Variables: the environment's, as entries of the keys that they stand for.

`wlm/.../ModelInfo.java: loadServingProperties` of DJL takes OPTION_NAME for what the
properties file does not say, `serving/.../ConfigManager.java` SERVING_NAME; the other
names are those that `serving/docker/dockerd-entrypoint-with-cuda-compat.sh` and
`wlm/.../SageMakerCompatibility.java` turn into theirs.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from hotswap.djl_config.key_table import KEYS, OPTION, SERVER_KEYS
from hotswap.djl_config.properties_file import Entry

_OPTION, _SERVING = "OPTION_", "SERVING_"
_SNAKE_CASE = re.compile(r"[A-Z_\d]+")

# Without one of the two prefixes: they count only where a model of DJL's is served.
OTHERS = {
    "HF_MODEL_TRUST_REMOTE_CODE": "option.trust_remote_code",
    "HF_MODEL_QUANTIZE": "option.quantize",
    "TENSOR_PARALLEL_DEGREE": "option.tensor_parallel_degree",
    "SM_NUM_GPUS": "option.tensor_parallel_degree",
    "PIPELINE_PARALLEL_DEGREE": "option.pipeline_parallel_degree",
    "MAX_BATCH_SIZE": "option.max_rolling_batch_size",
    "MAX_BATCH_PREFILL_TOKENS": "option.max_rolling_batch_prefill_tokens",
    "MAX_CONCURRENT_REQUESTS": "job_queue_size",
    "CUDA_MEMORY_FRACTION": "option.gpu_memory_utilization",
    "DJL_ENTRY_POINT": "option.entryPoint",
    "SAGEMAKER_NUM_MODEL_WORKERS": "minWorkers",
    "SAGEMAKER_STARTUP_TIMEOUT": "option.model_loading_timeout",
    "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS": "option.predict_timeout",
}


def of_variable(variable: str, environment: Mapping[str, str]) -> Entry:
    return Entry(environment.get(variable, "").strip(), variable, "environment")


@dataclass(frozen=True, slots=True)
class Told:
    """What the environment says, by key: of a model, and of the server."""

    of_model: dict[str, Entry] = field(default_factory=dict)
    of_server: dict[str, Entry] = field(default_factory=dict)


def told_by(environment: Mapping[str, str], *, is_djl: bool) -> Told:
    """An empty variable says nothing, as in DJL. `is_djl`: a model of DJL's is served:
    the variables without a prefix count, too."""
    told = Told()
    for variable in sorted(environment):
        entry = of_variable(variable, environment)
        if not entry.text:
            continue
        if variable.startswith(_OPTION):
            told.of_model[_option(variable)] = entry
        elif variable.startswith(_SERVING):
            key = variable.removeprefix(_SERVING).lower()
            (told.of_model if key in KEYS else told.of_server)[key] = entry
    if is_djl:
        for variable, key in OTHERS.items():
            if (entry := of_variable(variable, environment)).text:
                told.of_model.setdefault(key, entry)
        for variable in filter(str.isupper, SERVER_KEYS):
            if (entry := of_variable(variable, environment)).text:
                told.of_server[variable] = entry
    return told


def _option(variable: str) -> str:
    """The key that OPTION_NAME stands for."""
    name = variable.removeprefix(_OPTION)
    if _SNAKE_CASE.fullmatch(name):
        name = name.lower()
    if name == "engine":
        return name
    return OPTION + ("entryPoint" if name == "entrypoint" else name)
