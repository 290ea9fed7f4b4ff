"""Config: one TOML file, frozen structs, units in the names. Data, nothing else.

Every flag of the command line is a key here; a flag wins over the file, and the file
over the environment. Unknown keys and values out of range are refused with the place
they stand at.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from hotswap.errors import StartFailed
from hotswap.options import Lora, check, from_environment

Positive = Annotated[float, Meta(gt=0, le=1e6)]
Count = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, lt=1)]
ModelName = Annotated[str, Meta(min_length=1, max_length=256)]
Policy = Literal[
    "affinity",
    "fcfs-mixed",
    "fcfs-merged",
    "longest-queue",
    "slora-peft",
    "dlora",
    "dlora-credits",
    "vtc",
]


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    host: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    # After SIGTERM: how long accepted jobs may take to finish.
    drain_s: Annotated[float, Meta(ge=0, le=1e6)] = 30.0
    # Where files lie, in listings; else folders are named without their path.
    show_paths: bool = False
    # What the base model is called, in place of its own name; answers say the first.
    served_model_names: tuple[ModelName, ...] = ()
    # Names of this server that its Host may have, besides IP addresses and those that
    # nobody can register (no dot, .localhost, .local, .internal).
    hosts: tuple[str, ...] = ()
    # Pages that may call it from a browser, as https://example.com; "*" is any.
    cors_origins: tuple[str, ...] = ()


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # A Hugging Face folder, a .gguf file, or a hub id.
    path: str = ""
    # "auto" is the model's own, or float32 on a CPU that was seen to be faster in it.
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Annotated[str, Meta(pattern=r"^(auto|cpu|(cuda|xpu|mps)(:\d+)?)$")] = "auto"


class Memory(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # For slots, KV and adapters together; "auto" is half of what is free after loading,
    # on a GPU 7/8 of it. There adapters are in host memory and do not count.
    budget_gb: Positive | Literal["auto"] = "auto"
    # Merged weight sets kept at once; "auto" is what half of the budget holds.
    slots: Count | Literal["auto"] = "auto"
    # Tokens whose keys and values fit; "auto" is what a quarter holds.
    kv_tokens: Count | Literal["auto"] = "auto"


class Adapters(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # The directory that is watched: each folder in it is an adapter.
    directory: str = ""
    # A folder is read when its files have not changed for so long.
    quiet_s: Positive = 0.3
    # Look again and again, where the file system sends no events (NFS).
    polling: bool = False
    # Other folders that adapters registered over HTTP may come from.
    roots: tuple[str, ...] = ()
    # Adapters known at once, in memory or on disk.
    max_adapters: Count = 10_000
    # A larger file of weights is refused; "auto" is the whole model in float32.
    max_bytes: Count | Literal["auto"] = "auto"
    # One whose merge would lose a larger share of its update is served mixed only.
    max_merge_loss: Annotated[float, Meta(ge=0, le=1)] = 0.5
    # What it means that an adapter says it was trained on another model.
    other_base: Literal["warn", "refuse"] = "warn"


class Schedule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    policy: Policy = "affinity"
    max_batch: Count = 16
    max_waiting: Count = 1000
    # Prompt tokens computed in one step, beside the decoding jobs.
    prefill_tokens: Count = 256
    # After half of it the default policy serves a job that waits for its first token.
    max_wait_s: Positive = 2.0
    # Share of time that swaps may take.
    switch_budget: Share = 0.05


class Hooks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    # Your own functions: a module's dotted name or the path of a .py file.
    module: str = ""


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    server: Server = Server()
    model: Model = Model()
    memory: Memory = Memory()
    adapters: Adapters = Adapters()
    schedule: Schedule = Schedule()
    lora: Lora = Lora()
    hooks: Hooks = Hooks()


def load(
    path: Path | None,
    flags: dict[str, dict[str, Any]],
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Config:
    """OPTION_... variables, the file's values over them, then the flags'.

    Raises StartFailed.
    """
    values: dict[str, Any] = {}
    where = "flags"
    if path is not None:
        where = str(path)
        try:
            values = msgspec.toml.decode(path.read_bytes())
        except OSError as error:
            raise StartFailed(f"config {path}: {error.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise StartFailed(f"config {path}: {error}") from None
    for section, given in flags.items():
        inner = values.setdefault(section, {})
        if isinstance(inner, dict):
            inner.update(
                {key: value for key, value in given.items() if value is not None}
            )
    for section, given in from_environment(environment).items():
        inner = values.setdefault(section, {})
        if isinstance(inner, dict):
            values[section] = given | inner
    try:
        config = msgspec.convert(values, Config)
    except msgspec.ValidationError as error:
        raise StartFailed(f"config {where}: {error}") from None
    check(config.lora)
    return config
