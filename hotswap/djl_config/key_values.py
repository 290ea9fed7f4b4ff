"""Key values: what the text of a key of DJL's means here. Each raises ValueError."""

import json
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

# engines/python/setup/djl_python/properties_manager/vllm_rb_properties.py of DJL
_DTYPES = {
    "fp32": "float32",
    "float32": "float32",
    "fp16": "float16",
    "float16": "float16",
    "bf16": "bfloat16",
    "bfloat16": "bfloat16",
    "auto": "auto",
}
_DEVICE = re.compile(r"\*|-1|cpu|(?:gpu|cuda:?)?(\d{1,3})|gpu|cuda")
_PORTS = {"http": 80, "https": 443}
_MIB = 1 << 20
_ALL_BODIES = 64 * _MIB  # as many bytes as one body may have by DJL's default


def plain(text: str) -> Sequence[Any]:
    return (text,)


def dtype(text: str) -> Sequence[Any]:
    if text.lower() not in _DTYPES:
        raise ValueError(f"no type of weights here, but {', '.join(_DTYPES)}")
    return (_DTYPES[text.lower()],)


def list_or_json(text: str) -> Sequence[Any]:
    """`a, b` or a JSON list."""
    if text.startswith("["):
        return json_or_text(text)
    return ([part.strip() for part in text.split(",")],)


def json_or_text(text: str) -> Sequence[Any]:
    if not text.startswith(("[", "{")):
        return (text,)
    try:
        return (json.loads(text),)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None


def origins(text: str) -> Sequence[Any]:
    return ([each.strip() for each in text.split(",")],)


def body_bytes(text: str) -> Sequence[Any]:
    """Of one body, and room for at least one such among all."""
    most = _integer(text)
    return most, max(most, _ALL_BODIES)


def body_mib(text: str) -> Sequence[Any]:
    return body_bytes(str(_integer(text) * _MIB))


def address(text: str) -> Sequence[Any]:
    """Host and port of DJL's `inference_address`, `http://HOST[:PORT]`."""
    parts = urlsplit(text)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError("no http:// or https:// address of a host")
    return parts.hostname, parts.port or _PORTS[parts.scheme]


def device(text: str) -> Sequence[Any]:
    """The first of DJL's `load_on_devices`: `*`, `-1`, a number, `cpu`, `gpu1`."""
    first = text.partition(";")[0].strip().lower()
    found = _DEVICE.fullmatch(first)
    if not found:
        raise ValueError("no device, such as *, -1, 0, cpu or gpu0")
    if first in ("-1", "cpu"):
        return ("cpu",)
    return (f"cuda:{found[1]}",) if found[1] and int(found[1]) else ("auto",)


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("no integer") from None
