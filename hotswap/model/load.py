"""Load a causal language model and its tokenizer: a folder, a `.gguf` file, a hub id.

A GGUF file is dequantised and converted to safetensors once, into the cache folder.
A conversion is written beside its final name and renamed when whole, so that an
interrupted one is never taken for a finished one.
"""

import hashlib
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GgufConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from hotswap.adapters.base_name import base_name
from hotswap.errors import StartFailed

log = logging.getLogger(__name__)
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """`context`: how many tokens the model was made for. `eos`: ids that end text."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    context: int
    eos: frozenset[int]


def cache_dir() -> Path:
    """Where converted models live: `$XDG_CACHE_HOME/hotswap`, or under the home."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "hotswap"


def load(source: str, dtype: str, device: str) -> Loaded:
    """Raises StartFailed with one line that names what is wrong."""
    path = Path(source).expanduser()
    name = base_name(source)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise StartFailed(f"model {source}: no such file")
    elif path.is_dir():
        source = str(path)
        if not (path / "config.json").is_file():
            raise StartFailed(f"model {source}: the folder has no config.json")
    elif path.is_absolute() or source.startswith("."):
        raise StartFailed(f"model {source}: no such folder")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        if path.suffix == ".gguf":
            source = str(convert_gguf(path))
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(
            source, dtype="auto" if dtype == "auto" else _DTYPES[dtype]
        )
        if dtype == "auto" and not _is_computed_in(model.dtype, device):
            log.info("this CPU has no units for %s: float32 is used", model.dtype)
            model.float()
        # `to` is wrapped in a decorator whose types mypy cannot follow.
        model.to(device)  # type: ignore[arg-type]
    except Exception as error:
        # Whatever strange files or a strange device do to the libraries: one line.
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StartFailed(f"model {source}: {first}") from error
    model.eval().requires_grad_(False)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        name=name,
        context=_context(model),
        eos=_eos(model, tokenizer),
    )


def convert_gguf(path: Path) -> Path:
    """The converted folder of a GGUF file, made now if it is not in the cache."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    target = cache_dir() / "models" / f"{path.stem}-{digest}"
    if target.is_dir():
        return target
    log.info("converting %s to %s, once (about half a minute)", path.name, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=target.parent))
    try:
        AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name).save_pretrained(
            partial
        )
        # Packed GGUF weights could be neither saved nor merged.
        AutoModelForCausalLM.from_pretrained(
            path.parent,
            gguf_file=path.name,
            dtype=torch.bfloat16,
            quantization_config=GgufConfig(dequantize=True),
        ).save_pretrained(partial)
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # somebody else may have finished it meanwhile
            raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    log.info("converted %s", path.name)
    return target


def _is_computed_in(dtype: torch.dtype, device: str) -> bool:
    """Whether the device has units for products in this type.

    A CPU without them computes a bfloat16 product of 16 rows some 15 times slower than
    one in float32 (measured on AVX2).
    """
    if not device.startswith("cpu"):
        return True
    if dtype is torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    if dtype is torch.float16:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    return True


def _context(model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return 1 << 20  # no position limit of its own (ALiBi, state space): KV is the limit


def _eos(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    ids: set[int] = set()
    for value in (
        getattr(model.generation_config, "eos_token_id", None),
        model.config.get_text_config().eos_token_id,
        tokenizer.eos_token_id,
    ):
        if isinstance(value, int):
            ids.add(value)
        elif value:
            ids.update(value)
    return frozenset(ids)
