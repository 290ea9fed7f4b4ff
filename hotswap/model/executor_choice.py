"""ExecutorChoice: the GPU's executor where it is right, else the one for every device.

The GPU's is proven on probes before it serves, graphs included. What it needs is loaded
by name: a CPU needs no Triton. Not yet run on a GPU.
"""

import gc
import importlib
import logging
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import TypedDict, Unpack

import torch

from hotswap.adapters.layout import is_hollow
from hotswap.errors import StartFailed
from hotswap.model.eager.executor import EagerExecutor
from hotswap.model.gpu.executor import GpuExecutor
from hotswap.model.gpu.graphs import CudaGraphs, GraphBackend
from hotswap.model.gpu.kernel_set import Kernels
from hotswap.model.network.llama import Llama
from hotswap.model.network.loaded import Loaded, mixes_jobs
from hotswap.model.network.probes import Probes
from hotswap.sampling_params import SamplingParams

log = logging.getLogger(__name__)

ModelExecutor = EagerExecutor | GpuExecutor

_OLDEST = (8, 0)  # compute capability: bfloat16 products, asynchronous copies
_GREEDY = SamplingParams(temperature=0)


class Sizes(TypedDict):
    """As an executor takes them; None means what suits the budget and the device."""

    slots: int | None
    kv_tokens: int | None
    budget_bytes: int | None
    max_batch: int | None
    prefill_tokens: int | None


def choose_executor(loaded: Loaded, **sizes: Unpack[Sizes]) -> ModelExecutor:
    """Mutates the model if it must. Raises StartFailed if nobody can run it, or if it
    has no room."""
    if loaded.model.device.type == "cpu":
        return EagerExecutor(loaded, **sizes)
    why_not = misfit(loaded, torch.cuda.get_device_capability)
    if not why_not:
        chosen = proven(loaded, triton_and_graphs, sizes)
        if isinstance(chosen, GpuExecutor):
            return chosen
        why_not = chosen
        if any(is_hollow(parameter) for parameter in loaded.model.parameters()):
            # Golden has left the model: nobody else can compute with it.
            raise StartFailed(f"model {loaded.name}: it cannot be run ({why_not})")
        gc.collect()  # whatever it had allocated
        torch.cuda.empty_cache()
    log.warning("model %s runs eager on the GPU: %s", loaded.name, why_not)
    return EagerExecutor(loaded, **sizes)


def misfit(
    loaded: Loaded, capability: Callable[[torch.device], tuple[int, int]]
) -> str:
    """Why the GPU's executor cannot serve this model here; "" if it may."""
    device, why = loaded.model.device, ""
    if device.type != "cuda":
        why = f"no graphs on {device.type}"
    elif device.index:  # Triton launches on the thread's current device
        why = "graphs are for the first device: CUDA_VISIBLE_DEVICES chooses it"
    elif (found := capability(device)) < _OLDEST:
        why = "compute capability {}.{}, graphs need {}.{}".format(*found, *_OLDEST)
    elif find_spec("triton") is None:
        why = "triton is not installed"
    elif mixes_jobs(loaded.model):
        why = "its rotary frequencies depend on the longest job"
    elif not Llama.fits(loaded.model):
        why = f"no chain of operations for {type(loaded.model).__name__}"
    return why


def triton_and_graphs(device: torch.device) -> tuple[Kernels, GraphBackend]:
    """What the executor computes with on a GPU. Sums are taken in float32 from now on,
    the parts of a split product's too, and float32 is multiplied as float32."""
    if os.environ.get("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "0") != "0":  # NVIDIA's image
        torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
    kernels = importlib.import_module("hotswap.model.gpu.kernels.triton_kernels")
    return kernels.KERNELS, CudaGraphs(device)


def proven(
    loaded: Loaded,
    parts: Callable[[torch.device], tuple[Kernels, GraphBackend]],
    sizes: Sizes,
) -> GpuExecutor | str:
    """The GPU's executor, or why it is not right. Raises StartFailed for no room."""
    try:
        kernels, backend = parts(loaded.model.device)
        probes = Probes(loaded.model, loaded.compute_dtype)
        executor = GpuExecutor(loaded, kernels, backend, **sizes)
        for job in range(len(probes.prompts)):
            executor.open(job, _GREEDY)
        for rows in probes.steps:
            logits = executor.forward(rows, mixed=False)
        for job in range(len(probes.prompts)):
            executor.close(job)
        if not probes.agree(logits):
            return f"its logits differ by {probes.gap(logits):.2g}"
        executor.warm_up()
        return executor
    except StartFailed:
        raise
    except torch.OutOfMemoryError as error:
        first = str(error).splitlines()[0]
        raise StartFailed(
            f"memory: the device has no room for slots, KV and a step ({first}): a "
            "smaller memory.budget_gb, or fewer memory.kv_tokens, would fit"
        ) from None
    except Exception as error:
        # Any failure of any architecture or compiler means the same: not this way.
        return f"{type(error).__name__}: {error}".splitlines()[0]
