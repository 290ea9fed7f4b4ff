"""Settings: the fields of adapter_config.json, each of the type that PEFT declares.

PEFT checks few of them, and a value of another type ends in an error far from the field
or, worse, in none. A setting that PEFT does not know may change what the weights mean:
it passes only if it says nothing.
"""

import dataclasses
import operator
from collections.abc import Iterator, Mapping
from functools import cache, reduce
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
import peft
from msgspec import Meta
from peft import PeftConfig, TaskType
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

from hotswap.adapters.file_names import CONFIG_FILE
from hotswap.errors import AdapterRefused

LORA = "LORA"

Rank = Annotated[int, Meta(ge=1)]
Number = Annotated[float, Meta(ge=-1e9, le=1e9)]  # neither NaN nor infinite
_Share = Annotated[float, Meta(ge=0, le=1)]
_Int = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
_TYPES: dict[object, object] = {int: _Int, float: Number}
# Where PEFT's types say too little, or less than what it saves.
_OWN: dict[str, object] = {
    "peft_type": str,
    "task_type": TaskType | None,
    "modules_to_save": list[str] | None,
    "lora_alpha": Number | None,
    "alpha": Number | None,
    "rank_pattern": dict[str, Rank] | None,
    "alpha_pattern": dict[str, Number] | None,
    "lambda_pattern": dict[str, Number] | None,
    "n_frequency_pattern": dict[str, Rank] | None,
    "block_size_pattern": dict[str, Rank] | None,
    "init_lora_weights": bool | str,  # see `peft_config`
}
_OF_KIND: dict[tuple[str, str], object] = {
    (LORA, "r"): Rank,
    ("ADALORA", "rank_pattern"): dict[str, list[bool]] | None,
}
# Say nothing about the weights, whatever they say. PEFT itself leaves out the last.
_HARMLESS = frozenset(
    "_commit_hash _name_or_path $schema base_model_class created_at created_by "
    "datasets description dtype language library_name license merge_weights "
    "model_type name parent_library pipeline_tag tags torch_dtype "
    "transformers_version unsloth_fixed unsloth_version version runtime_config".split()
)
# Of every adapter: no news in a message
_USUAL = frozenset(
    "auto_mapping base_model_name_or_path inference_mode peft_type peft_version "
    "revision task_type lora_dropout".split()
)
_SHOWN = 80


def known(fields: Mapping[str, object], kind: str) -> dict[str, object]:
    """Those that PEFT knows for this type, checked; null is as good as absent.

    Raises AdapterRefused for what is of another type, or what may matter and is not
    known.
    """
    types = _types(kind)
    given = {}
    for name, value in fields.items():
        if name not in types:
            _check_unknown(name, value)
        elif value is not None:
            given[name] = _checked(name, value, types[name])
    return given


def unusual(values: Mapping[str, object], kind: type[PeftConfig]) -> str:
    """The settings that are not PEFT's defaults, for a message: if PEFT cannot use
    them, it rarely says which one it was."""
    shown = []
    for field in dataclasses.fields(kind):
        value = values.get(field.name)
        if field.name not in _USUAL and not _is_default(field, value):
            shown.append(f"{field.name}={brief(value)}")
    return ", ".join(shown)


def brief(value: object) -> str:
    """A value in one line of bounded length."""
    if isinstance(value, set):
        value = sorted(value, key=repr)
    if isinstance(value, list | dict) and len(value) > _SHOWN:
        return f"{type(value).__name__} of {len(value)}"
    try:
        text = repr(value)
    except ValueError:  # Python writes no integers of thousands of digits
        text = "a number of thousands of digits"
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def refused(code: str, reason: str) -> AdapterRefused:
    return AdapterRefused(code, f"{CONFIG_FILE}: {reason}")


@cache
def _types(kind: str) -> Mapping[str, Any]:
    hints = get_type_hints(PEFT_TYPE_TO_CONFIG_MAPPING[kind])
    return {
        name: _OF_KIND.get((kind, name))
        or _OWN.get(name)
        or (_Share if name.endswith("dropout") else _type(hint))
        for name, hint in hints.items()
        if name not in _HARMLESS
    }


def _type(hint: Any) -> Any:
    """PEFT's type with bounds; a configuration within it comes as an object of JSON."""
    if get_origin(hint) in (Union, UnionType):
        return reduce(operator.or_, [_type(part) for part in get_args(hint)])
    if dataclasses.is_dataclass(hint):
        return dict
    return _TYPES.get(hint, hint)


def _checked(name: str, value: object, accepted: Any) -> object:
    try:
        msgspec.convert(value, accepted)
    except msgspec.ValidationError as error:
        raise refused("bad_config", f"{name}={brief(value)}: {error}") from None
    return value


def _check_unknown(name: str, value: object) -> None:
    if name in _HARMLESS or not value:
        return
    raise refused(
        "unknown_setting",
        f"PEFT {peft.__version__} does not know {brief(name)}={brief(value)}: it may "
        "change what the weights mean. If it does not, take it out",
    )


def _is_default(field: "dataclasses.Field[Any]", value: object) -> bool:
    default = field.default
    if field.default_factory is not dataclasses.MISSING:
        default = field.default_factory()
    return value is None or value == default


def strings(value: object) -> Iterator[str]:
    """A setting that is a string or a list, set or object of them, one by one."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple | set | dict):
        yield from (item for item in value if isinstance(item, str))
