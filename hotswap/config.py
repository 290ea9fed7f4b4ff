"""Config: one TOML file, frozen structs, units in the names. Data, nothing else.

Every flag of the command line is a key here; a flag wins over the file, the file over
a serving.properties, and that over the environment. Unknown keys and values out of
range are refused with the place they stand at. What a key means is said above it and
nowhere else: docs/configuration.md and configs/default.toml are made from these lines
(`python -m hotswap.config_docs`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hotswap import limit_options
from hotswap.adapter_options import AdaptersConfig
from hotswap.deploy_options import DeployConfig
from hotswap.djl_config.translation import Setting, Translation, translate
from hotswap.errors import StartFailed
from hotswap.limit_options import LimitsConfig
from hotswap.log_options import LogConfig
from hotswap.options import Auto, Count, LoraConfig, Positive, check
from hotswap.parser_names import ReasoningParserName, ToolParserName
from hotswap.server_options import ServerConfig
from scheduler import POLICIES

DeviceName = Annotated[
    str,
    Meta(
        pattern=r"^(auto|cpu|(cuda|xpu|mps)(:\d+)?)$",
        examples=["auto", "cpu", "cuda", "cuda:1", "xpu", "mps"],
    ),
]
Share = Annotated[float, Meta(gt=0, lt=1)]
PolicyName = Annotated[str, Meta(extra_json_schema={"enum": list(POLICIES)})]

# Keys of earlier versions: the one of now, and how its value follows from the old one.
RENAMED = {
    "schedule.max_wait_s": ("patience_s", "half of what max_wait_s was"),
}


class ModelConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # A Hugging Face folder, a .gguf file, a hub id, a URL (s3://BUCKET/FOLDER,
    # hf://ORGANISATION/NAME@REVISION, https://HOST/PATH.tar.gz), or a folder with a
    # serving.properties.
    path: str = ""
    # "auto" is the fastest here: the model's own, on a CPU also float32, or weights in
    # bfloat16 and all else in float32.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    # Who computes it: "auto" is our own, "vllm" is vLLM (hotswap[vllm]), merged only.
    executor: Literal["auto", "vllm"] = "auto"
    # Devices that each layer is cut over; more than one with vLLM only.
    tensor_parallel: Count = 1
    # The processor it runs on; "auto" is a GPU that is there, else the CPU.
    device: DeviceName = "auto"
    # Most tokens of a prompt and its answer together; "auto" is what the model was made
    # for.
    max_model_len: Count | Auto = "auto"
    # In what form it writes calls of tools; "auto" is by the chat template. An
    # adapter's hotswap.toml goes before. "qwen25" is "hermes"; "llama3" and
    # "llama4_json" are "llama3_json".
    tool_parser: ToolParserName | Auto = "auto"
    # In what form it writes its reasoning, which answers then tell apart from their
    # content; "none" leaves it in the text. An adapter's hotswap.toml goes before.
    reasoning_parser: ReasoningParserName | Literal["none"] = "none"


class MemoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # For slots, KV and adapters together; "auto" is half of what is free after loading,
    # on a GPU 7/8 of it. There adapters in host memory do not count.
    budget_gb: Positive | Auto = "auto"
    # Merged weight sets kept at once; "auto" is what half of the budget holds, on a GPU
    # one, or two where they take at most a quarter of it.
    slots: Count | Auto = "auto"
    # Tokens whose keys and values fit; "auto" is what a quarter of the budget holds, on
    # a GPU all that is left.
    kv_tokens: Count | Auto = "auto"
    # Compute a prompt's beginning once for each adapter: its keys and values are found
    # again, by whoever begins the same way, until their room is needed.
    prefix_cache: bool = True


class ScheduleConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Who chooses the next step; those besides "affinity" are there to compare it with.
    policy: PolicyName = "affinity"
    # Jobs in one step; "auto" is 16 on a CPU, 256 on a GPU.
    max_batch: Count | Auto = "auto"
    # More waiting jobs are refused with 429; [limits] has those of one adapter.
    max_waiting: Count = 2000
    # Prompt tokens computed in one step, beside the decoding jobs; "auto" is 256 on a
    # CPU, 2048 on a GPU.
    prefill_tokens: Count | Auto = "auto"
    # A job that has waited so long for its first token has the next step; a stream that
    # has waited so long for its next one likewise.
    patience_s: Positive = 1.0
    # Share of time that swaps may take, in the long run.
    switch_budget: Share = 0.05


class HooksConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Your own functions: a module's dotted name or the path of a .py file.
    module: str = ""
    # A model.py in DJL Serving's form: its `handle` answers /invocations and the other
    # routes of DJL's that generate; it is told of adapters, too.
    handler: str = ""
    # Seconds that a call of these functions may take.
    call_s: Positive = 120.0
    # Plain functions of the handler called at once, if they bear it; coroutines share
    # one event loop.
    threads: Annotated[int, Meta(ge=1, le=1024)] = 1


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    server: ServerConfig = ServerConfig()
    model: ModelConfig = ModelConfig()
    memory: MemoryConfig = MemoryConfig()
    adapters: AdaptersConfig = AdaptersConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    limits: LimitsConfig = LimitsConfig()
    lora: LoraConfig = LoraConfig()
    hooks: HooksConfig = HooksConfig()
    log: LogConfig = LogConfig()
    deploy: DeployConfig = DeployConfig()


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """`unheeded`: what a serving.properties and the environment say without effect
    here, and why, for people."""

    config: Config
    unheeded: tuple[str, ...]


def load(
    path: Path | None,
    flags: dict[str, dict[str, Any]],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Config:
    """Raises StartFailed."""
    return gather(path, flags, environment, None).config


def gather(
    path: Path | None,
    flags: dict[str, dict[str, Any]],
    environment: Mapping[str, str],
    store: Path | None,
) -> Loaded:
    """What DJL Serving is told, the file's values over it, then the flags'. If no model
    is named, `store` is where to look for one.

    Raises StartFailed.
    """
    where, values = ("flags", {}) if path is None else (str(path), _read(path))
    for section, given in flags.items():
        inner = values.setdefault(section, {})
        if isinstance(inner, dict):
            inner.update(
                {key: value for key, value in given.items() if value is not None}
            )
    told = translate(_model(values), environment, store)
    _fill_in(values, told)
    _check_renamed(values, where)
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise StartFailed(f"config {where}: {error}") from None
    policy = config.schedule.policy
    if policy not in POLICIES:
        raise StartFailed(
            f"config {where}: schedule.policy: there is no {policy}, but "
            f"{', '.join(POLICIES)}"
        )
    check(config.lora)
    limit_options.check(config.limits, config.schedule.max_waiting)
    return Loaded(config=config, unheeded=told.unheeded)


def _model(values: Mapping[str, Any]) -> str:
    """What is named as the model; "" is nothing, or what is refused later."""
    section = values.get("model")
    path = section.get("path") if isinstance(section, dict) else None
    return path if isinstance(path, str) else ""


def _fill_in(values: dict[str, Any], told: Translation) -> None:
    """Set what neither the file nor a flag says, and the model that the folder stands
    for. Raises StartFailed for a bad value."""
    for setting in told.settings:
        section, _, key = setting.key.partition(".")
        value = _converted(section, key, setting)
        inner = values.setdefault(section, {})
        if isinstance(inner, dict):
            inner.setdefault(key, value)
    if told.model and isinstance(model := values.setdefault("model", {}), dict):
        model["path"] = told.model


def _converted(section: str, key: str, setting: Setting) -> Any:
    """A text as the value that the file would have."""
    fields = msgspec.structs.fields(getattr(Config(), section))
    (kind,) = (field.type for field in fields if field.name == key)
    try:
        return msgspec.convert(setting.value, kind, strict=False)
    except msgspec.ValidationError as error:
        raise StartFailed(f"{setting.said}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    """The file's values by section. Raises StartFailed."""
    try:
        return dict(msgspec.toml.decode(path.read_bytes()))
    except OSError as error:
        raise StartFailed(f"config {path}: {error.strerror}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StartFailed(f"config {path}: {error}") from None


def _check_renamed(values: Mapping[str, Any], where: str) -> None:
    """Raises StartFailed for a key that has another name now."""
    for old, (new, how) in RENAMED.items():
        section, _, key = old.partition(".")
        if isinstance(values.get(section), dict) and key in values[section]:
            raise StartFailed(f"config {where}: {old} is now {section}.{new}, {how}")
