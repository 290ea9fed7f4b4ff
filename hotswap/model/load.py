"""Load: a causal language model and its tokenizer: a folder, a `.gguf` file, a hub id.

A GGUF file is dequantised and converted to safetensors once, into the cache folder.
A conversion is written beside its final name and renamed when whole, so that an
interrupted one is never taken for a finished one.
"""

import hashlib
import logging
import shutil
import tempfile
import time
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
from hotswap.adapters.generation import bytes_of
from hotswap.cache import cache_dir
from hotswap.error_boundary import said
from hotswap.errors import StartFailed
from hotswap.model.eager.kernel_choice import choose_kernels
from hotswap.model.hub import is_on_hub
from hotswap.model.machine.cuda_check import check_cuda, check_room
from hotswap.model.model_path import check, is_hub_id
from hotswap.model.network.loaded import Loaded
from hotswap.sources.location import parse

log = logging.getLogger(__name__)
_DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def load(
    source: str, dtype: str | None, device: str | None, folder: Path | None = None
) -> Loaded:
    """`dtype`, `device` None: what suits the model and this machine. `folder`: where
    the files are that were fetched, if `source` is a URL.

    Raises StartFailed with one line that names what is wrong.
    """
    check(source)
    join_our_log()
    where = device_named(device)
    begun_s = time.perf_counter()
    path, name = Path(source).expanduser(), base_name(source)
    if folder is not None:
        location = parse(source)
        source, name = location.plain, location.name
    only_cached = is_hub_id(source) and not is_on_hub(source)
    try:
        if path.suffix == ".gguf":
            source = str(convert_gguf(path))
        log.info("loading model %s", source)
        place = source if folder is None else str(folder)
        tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=only_cached)
        model = AutoModelForCausalLM.from_pretrained(
            place,
            dtype="auto" if dtype is None else _DTYPES[dtype],
            local_files_only=only_cached,
        )
        model.eval().requires_grad_(False)
        dtypes = [model.dtype]
        if dtype is None and where.type == "cpu":
            dtypes += [torch.float32] * (model.dtype is not torch.float32)
        chosen = choose_kernels(model, dtypes, where)
        if chosen.dtype is not model.dtype:
            model.float()  # the only other candidate
        if where.type == "cuda":
            check_room(where, bytes_of(model.parameters()))
        # `to` is wrapped in a decorator whose types mypy cannot follow.
        model.to(where)  # type: ignore[arg-type]
    except StartFailed:
        raise
    except Exception as error:
        # Whatever strange files or a strange device do to the libraries: one line.
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StartFailed(f"model {source}: {first}") from error
    log.info("loaded model %s seconds=%.1f", name, time.perf_counter() - begun_s)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        name=name,
        context=most_context(model),
        eos=ends_of(model, tokenizer),
        kernels=chosen.kernels,
    )


def join_our_log() -> None:
    """What the libraries say goes where our records go."""
    for name in ("transformers", "huggingface_hub"):
        theirs = logging.getLogger(name)
        theirs.handlers.clear()
        theirs.propagate = True


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
        # Quantised GGUF weights could be neither saved nor merged.
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


def device_named(wanted: str | None) -> torch.device:
    """Raises StartFailed if it is not here."""
    if wanted is None:
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(wanted)
        if device.type == "cuda":
            check_cuda(device)
        return torch.empty(0, device=device).device
    except StartFailed:
        raise
    except Exception as error:
        # Each backend has its own way to say that it is not here.
        raise StartFailed(f"model.device {wanted}: {said(error)}") from None


def most_context(model: PreTrainedModel) -> int:
    config = model.config.get_text_config()
    for key in ("max_position_embeddings", "n_positions", "max_seq_len"):
        value = getattr(config, key, None)
        if isinstance(value, int) and value > 0:
            return value
    return 1 << 20  # no position limit of its own (ALiBi, state space): KV is the limit


def ends_of(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase
) -> frozenset[int]:
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
