"""vLLM app: the server around vLLM's workers, which have the model."""

import atexit
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from litestar import Litestar
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerBase

from hotswap.adapters.base_name import base_name
from hotswap.assembly import assembled, context_of, hooks_of
from hotswap.config import Config
from hotswap.error_boundary import said
from hotswap.errors import StartFailed
from hotswap.model.calibrate import calibrate
from hotswap.model.hub import is_on_hub
from hotswap.model.load import convert_gguf, device_named, ends_of, most_context
from hotswap.model.machine.device import device_of
from hotswap.model.model_path import check, is_hub_id
from hotswap.model.vllm.checkpoint_layout import hollow_model
from hotswap.model.vllm.executor import VllmExecutor
from hotswap.model.vllm.start import Started, Wanted, start
from hotswap.options import unless_auto
from hotswap.served_model import served_model
from hotswap.short_thread import in_short_thread
from hotswap.sources.location import parse
from hotswap.start import model_folder
from scheduler import Costs

# What of a model on the hub is needed; no pickle.
_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]


def build(config: Config) -> Litestar:
    """All parts, not started. Raises StartFailed."""
    own = hooks_of(config)
    wanted, tokenizer, eos = in_short_thread(lambda: _wanted(config))
    runner, costs = in_short_thread(lambda: _runner(wanted))
    served = served_model(
        config,
        runner,
        costs,
        tokenizer=tokenizer,
        name=wanted.name,
        eos=eos,
        device=str(wanted.device),
    )
    return assembled(config, own, served)


def _wanted(config: Config) -> tuple[Wanted, PreTrainedTokenizerBase, frozenset[int]]:
    model, memory, schedule = config.model, config.memory, config.schedule
    check(model.path)
    name, folder = _folder(config)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        skeleton = hollow_model(folder)
        if (folder / "generation_config.json").is_file():
            skeleton.generation_config = GenerationConfig.from_pretrained(folder)
    except Exception as error:  # whatever strange files do to the libraries
        raise StartFailed(f"model {name}: {said(error)}") from error
    device = device_named(unless_auto(model.device))
    suits, budget_gb = device_of(device), unless_auto(memory.budget_gb)
    wanted = Wanted(
        folder=folder,
        name=name,
        dtype=unless_auto(model.dtype) or _dtype(device),
        device=device,
        context=context_of(config, name, most_context(skeleton)),
        slots=unless_auto(memory.slots),
        kv_tokens=unless_auto(memory.kv_tokens),
        budget_bytes=None if budget_gb is None else int(budget_gb * 2**30),
        max_batch=unless_auto(schedule.max_batch) or suits.max_batch,
        prefill_tokens=unless_auto(schedule.prefill_tokens) or suits.prefill_tokens,
        tensor_parallel=model.tensor_parallel,
    )
    return wanted, tokenizer, ends_of(skeleton, tokenizer)


def _folder(config: Config) -> tuple[str, Path]:
    """The model's name, and where its files are."""
    source, fetched = config.model.path, model_folder(config)
    if fetched is not None:
        return parse(source).name, fetched
    path = Path(source).expanduser()
    if path.suffix == ".gguf":
        path = convert_gguf(path)
    elif is_hub_id(source):
        only_cached = not is_on_hub(source)
        path = Path(
            snapshot_download(
                source, allow_patterns=_FILES, local_files_only=only_cached
            )
        )
    return base_name(source), path


def _dtype(device: torch.device) -> str | None:
    """None is the model's own, which a CPU without units for bfloat16 is slow in."""
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "float32"
    return None


def _runner(wanted: Wanted) -> tuple[VllmExecutor, Costs]:
    started: Started = start(wanted)
    atexit.register(started.stop)
    runner = VllmExecutor(started)
    return runner, calibrate(runner, runner.max_batch)
