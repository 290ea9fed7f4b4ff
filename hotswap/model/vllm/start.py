"""Start: vLLM's workers with their model and KV, told what we need of them.

vLLM's own `EngineCore` sets them up: it profiles, sizes the KV and compiles. Its
scheduler and its loop are not used after that.
"""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from vllm.config import VllmConfig
from vllm.engine.arg_utils import EngineArgs
from vllm.v1.engine.core import EngineCore
from vllm.v1.executor import Executor
from vllm.v1.kv_cache_interface import FullAttentionSpec

from hotswap.adapters.layout import Layout
from hotswap.error_boundary import said
from hotswap.errors import StartFailed
from hotswap.model.machine.budget import Demand, MemoryPlan, plan_memory
from hotswap.model.machine.device import free_host_bytes
from hotswap.model.vllm import loader
from hotswap.model.vllm.checkpoint_layout import checkpoint_layout
from hotswap.model.vllm.extension import Placed, WorkerExtension
from hotswap.model.vllm.workers import Workers
from hotswap.model.weights.mergeable import head_path

log = logging.getLogger(__name__)

_ENVIRONMENT = {
    # The runner that every version here has; the other one needs Triton.
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "VLLM_COMPUTE_NANS_IN_LOGITS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CONFIGURE_LOGGING": "0",
}
_CPU_BLOCK, _GPU_BLOCK = 32, 16
# There one holds factors only, but vLLM has left little besides.
_GPU_SLOTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asked for; None is what suits. `skeleton`: the model, hollow.
    `context`: most tokens of a job. `slots`: of each worker."""

    folder: Path
    name: str
    skeleton: PreTrainedModel
    dtype: str | None
    device: torch.device
    context: int
    slots: int | None
    kv_tokens: int | None
    budget_bytes: int | None
    max_batch: int
    prefill_tokens: int
    tensor_parallel: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """`tensors`: of the checkpoint, that have a place in every worker. `block`: tokens
    of one of KV. `vocabulary`: logits of a row. `stop`: ends the workers."""

    workers: Workers
    stop: Callable[[], None]
    device: torch.device
    layout: Layout
    tensors: frozenset[str]
    head: str
    dtype: torch.dtype
    kernels: str
    context: int
    memory: MemoryPlan
    block: int
    vocabulary: int
    max_batch: int
    prefill_tokens: int


def start(wanted: Wanted) -> Started:
    """Raises StartFailed with one line that names what is wrong."""
    os.environ.update(_ENVIRONMENT)
    if wanted.budget_bytes is None and wanted.device.type == "cpu":
        wanted = replace(wanted, budget_bytes=free_host_bytes() // 2)
    try:
        config = _engine_args(wanted).create_engine_config()
        core = EngineCore(config, Executor.get_class(config), log_stats=False)
    except Exception as error:  # whatever a strange model or machine does to it
        raise StartFailed(f"model {wanted.name}: vLLM: {said(error)}") from error
    try:
        return _started(wanted, core, config)
    except BaseException:
        core.shutdown()
        raise


def suiting_dtype(device: torch.device) -> str | None:
    """None is the model's own, which a CPU without units for bfloat16 is slow in."""
    if device.type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "float32"
    return None


def _engine_args(wanted: Wanted) -> EngineArgs:
    budget = wanted.budget_bytes
    jobs = 2 * wanted.max_batch  # one whose prompt is scored is two requests
    is_host = wanted.device.type == "cpu"
    block = _CPU_BLOCK if is_host else _GPU_BLOCK
    kv: dict[str, Any] = {}
    if is_host:
        assert budget is not None
        kv["kv_cache_memory_bytes"] = budget // 4
    elif budget is not None:
        total = torch.cuda.get_device_properties(wanted.device).total_memory
        kv["gpu_memory_utilization"] = min(0.95, budget / total)
    if wanted.kv_tokens is not None:
        kv["num_gpu_blocks_override"] = -(-wanted.kv_tokens // block) + 1
    return EngineArgs(
        model=str(wanted.folder),
        skip_tokenizer_init=True,
        load_format=loader.FORMAT,
        dtype=wanted.dtype or "auto",
        max_model_len=wanted.context,
        max_num_seqs=jobs,
        max_num_batched_tokens=jobs + wanted.prefill_tokens,
        block_size=block,
        enable_prefix_caching=False,  # ours is
        disable_hybrid_kv_cache_manager=True,
        async_scheduling=False,
        tensor_parallel_size=wanted.tensor_parallel,
        distributed_executor_backend="uni" if wanted.tensor_parallel == 1 else "mp",
        worker_extension_cls=f"{WorkerExtension.__module__}.{WorkerExtension.__name__}",
        disable_log_stats=True,
        seed=0,
        **kv,
    )


def _started(wanted: Wanted, core: EngineCore, config: VllmConfig) -> Started:
    workers = Workers(core.model_executor, wanted.tensor_parallel)
    cache = config.cache_config
    specs = core.model_executor.get_kv_cache_specs()
    _check_kv(specs, wanted.name)
    dtype = config.model_config.dtype
    assert isinstance(dtype, torch.dtype)
    layout = checkpoint_layout(wanted.folder, wanted.skeleton, dtype, wanted.name)
    placed: list[Placed] = workers.call("hotswap_placed")
    _check_placed(layout, head_path(wanted.skeleton), placed, wanted.name)
    block, blocks = int(cache.block_size), int(cache.num_gpu_blocks) - 1
    slot_bytes = max(1, sum(each.slot_bytes for each in placed))
    budget = wanted.budget_bytes or slot_bytes
    memory = plan_memory(
        Demand(
            loaded_bytes=sum(each.golden_bytes for each in placed),
            packed_bytes=sum(each.golden_bytes for each in placed),
            slot_bytes=slot_bytes,
            kv_token_bytes=sum(_token_bytes(each) for each in specs),
            context=wanted.context,
            can_leave=False,
            host_bytes=free_host_bytes() // 2,
        ),
        budget,
        slots=wanted.slots or (None if wanted.device.type == "cpu" else _GPU_SLOTS),
        kv_tokens=blocks * block,
    )
    workers.call("hotswap_begin", memory.slots)
    return Started(
        workers=workers,
        stop=core.shutdown,
        device=wanted.device,
        layout=layout,
        tensors=frozenset.intersection(*(each.tensors for each in placed)),
        head=head_path(wanted.skeleton),
        dtype=dtype,
        kernels=type(core.model_executor).__name__,
        context=wanted.context,
        memory=memory,
        block=block,
        vocabulary=config.model_config.get_vocab_size(),
        max_batch=wanted.max_batch,
        prefill_tokens=wanted.prefill_tokens,
    )


def _check_kv(specs: Sequence[Any], name: str) -> None:
    """That each token has its keys and values, for good. Raises StartFailed."""
    for spec in specs[0].values():
        if not isinstance(spec, FullAttentionSpec):
            raise StartFailed(
                f"model {name}: its KV is {type(spec).__name__}: jobs of it can be "
                "neither parked nor shared here"
            )


def _token_bytes(specs: Mapping[str, Any]) -> int:
    """Of KV, in one worker's layers."""
    return sum(spec.page_size_bytes // spec.block_size for spec in specs.values())


def _check_placed(
    layout: Layout, head: str, placed: Sequence[Placed], name: str
) -> None:
    """That every linear module has its place in each worker; a tied head has none.
    Raises StartFailed, naming the first that has not."""
    for path in layout.linear:
        weight = f"{path}.weight"
        if path != head and not all(weight in each.tensors for each in placed):
            raise StartFailed(
                f"model {name}: where vLLM puts {path} is not certain, so adapters "
                "cannot be merged into it"
            )
