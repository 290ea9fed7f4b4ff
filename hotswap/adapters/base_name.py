"""BaseName: what a base model is called, and whether two names mean the same one.

People keep one model at many places and in many packings: only the last part of a name
counts, and how its weights are packed does not.
"""

import re
from pathlib import Path

# Behind the name of a model: how its weights are packed, and by whom.
_PACKING = re.compile(
    r"[-_.](unsloth|bnb|bitsandbytes|awq|gptq|gguf|ggml|mlx|exl[23]|hqq|aqlm|"
    r"fp8|nf4|fp16|bf16|f16|f32|dynamic|quantized|int[48]|w\d+a\d+|"
    r"\d(\.\d+)?-?bits?|\d+g|i?q\d(_[0-9a-z]+)*|i1)$"
)


def base_name(source: str) -> str:
    """The last part of a folder, a `.gguf` file or a hub id. A snapshot in the hub's
    cache has a hash there; its model is called as the hub calls it."""
    path = Path(source).expanduser()
    for above, below in zip(path.parts, path.parts[1:], strict=False):
        if above.startswith("models--") and below == "snapshots":
            return above.rpartition("--")[2]
    if path.suffix == ".gguf":
        return path.stem
    return path.name or path.absolute().name  # of "." as well


def is_same_base(one: str, other: str) -> bool:
    """Whether they name one model, packed in whatever way."""
    return _unpacked(one) == _unpacked(other)


def _unpacked(name: str) -> str:
    name = base_name(name).lower()
    while found := _PACKING.search(name):
        name = name[: found.start()]
    return name
