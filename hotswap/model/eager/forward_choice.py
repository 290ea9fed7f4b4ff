"""ForwardChoice: the fastest forward pass that computes what transformers computes.

The candidates, fastest first: `llama`, for the architectures it knows; `interface`,
for any model whose attention can be replaced; `alone`, each row by itself on
transformers' own cache, for all the rest. Each has to prove itself on probes.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import torch

from hotswap.errors import StartFailed
from hotswap.model.eager import attention_interface
from hotswap.model.eager.attention_choice import attention_for
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.linear import Linear, replace_linears
from hotswap.model.eager.operations import EagerOperations
from hotswap.model.eager.per_sequence import PerSequence
from hotswap.model.eager.ragged_batch import RaggedBatch
from hotswap.model.machine.kernels import kernels_for
from hotswap.model.machine.segmented import ROW_DTYPES, Segmented, segmented
from hotswap.model.network.llama import Llama
from hotswap.model.network.loaded import Loaded, mixes_jobs
from hotswap.model.network.probes import KV_TOKENS, Probes
from hotswap.model.network.rows import Row
from hotswap.model.weights.mergeable import is_mergeable

log = logging.getLogger(__name__)


class Forward(Protocol):
    """How rows become logits: `RaggedBatch` or `PerSequence`."""

    @property
    def token_bytes(self) -> int: ...
    @property
    def shares_blocks(self) -> bool: ...
    def close(self, job: int) -> None: ...
    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class ChosenForward:
    """`forward` makes the pass for so many KV tokens; one takes `token_bytes` in it."""

    kind: str
    forward: Callable[[int], Forward]
    linears: list[Linear]
    lora: BatchedLora
    token_bytes: int = 0


_Candidate = Callable[[Loaded], ChosenForward]


def choose_forward(loaded: Loaded) -> ChosenForward:
    """The first candidate that is right. Mutates the model if it must.

    Raises StartFailed if none is, or if the model has no layer to merge into.
    """
    model = loaded.model
    if not any(is_mergeable(module) for module in model.modules()):
        raise StartFailed(f"model {loaded.name}: it has no linear layer to merge into")
    probes = Probes(model, loaded.compute_dtype)
    candidates, reason = _candidates(loaded)
    for candidate in candidates:
        try:
            chosen = candidate(loaded)
            forward = chosen.forward(KV_TOKENS)
            if probes.agree(_probe(forward, probes)):
                if reason:
                    what = (loaded.name, chosen.kind, reason)
                    log.warning("model %s is served by the pass %r (%s)", *what)
                return replace(chosen, token_bytes=forward.token_bytes)
            reason = "its logits differ"
        except Exception as error:
            # Any failure of any architecture means the same: not this way.
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
    raise StartFailed(f"model {loaded.name}: it cannot be run ({reason})")


def _candidates(loaded: Loaded) -> tuple[list[_Candidate], str]:
    """Those to try, and why a faster one is not."""
    plain = loaded.model.config._attn_implementation or "eager"
    any_model: list[_Candidate] = [_interface, partial(_alone, plain=plain)]
    if loaded.kernels.widens:
        any_model = [partial(_in_float32, candidate) for candidate in any_model]
    if mixes_jobs(loaded.model):
        return any_model[1:], "its rotary frequencies depend on the longest job"
    if Llama.fits(loaded.model):
        return [_llama, *any_model], ""
    return any_model, ""


def _llama(loaded: Loaded) -> ChosenForward:
    model, kernels, dtype = loaded.model, loaded.kernels, loaded.compute_dtype
    beside = kernels_for(dtype, model.device) if kernels.widens else kernels
    native = _native(dtype, model.device)
    factors = torch.bfloat16 if kernels.widens else dtype
    lora = BatchedLora(dtype, model.device, beside, native, factors)
    like = torch.empty(1, dtype=dtype, device=model.device)
    operations = EagerOperations(model.model.rotary_emb, like, lora, kernels)
    llama = Llama(model, operations)
    return ChosenForward(
        "llama",
        lambda capacity: RaggedBatch(
            lambda inputs: llama(operations.step(inputs)),
            lora,
            partial(attention_for, dtype, model.device),
            capacity,
            model.device,
        ),
        operations.linears,
        lora,
    )


def _interface(loaded: Loaded) -> ChosenForward:
    model = loaded.model
    lora, linears = _replaced(loaded)
    return ChosenForward(
        "interface",
        lambda capacity: RaggedBatch(
            attention_interface.network(model),
            lora,
            partial(attention_for, model.dtype, model.device),
            capacity,
            model.device,
        ),
        linears,
        lora,
    )


def _in_float32(candidate: _Candidate, loaded: Loaded) -> ChosenForward:
    """The same where only our chain could widen weights: they are widened for good."""
    loaded.model.float()
    kernels = kernels_for(torch.float32, loaded.model.device)
    return candidate(replace(loaded, kernels=kernels))


def _alone(loaded: Loaded, plain: str) -> ChosenForward:
    model = loaded.model
    lora, linears = _replaced(loaded)
    return ChosenForward(
        "alone", lambda _: PerSequence(model, lora, plain), linears, lora
    )


def _replaced(loaded: Loaded) -> tuple[BatchedLora, list[Linear]]:
    """The model's linear layers made ours; a second call finds them."""
    model = loaded.model
    found = [m for m in model.modules() if isinstance(m, Linear)]
    if found:
        return found[0].lora, found
    native = _native(model.dtype, model.device)
    lora = BatchedLora(model.dtype, model.device, loaded.kernels, native)
    return lora, replace_linears(model, lora, loaded.kernels)


def _native(dtype: torch.dtype, device: torch.device) -> Segmented | None:
    is_ours = dtype in ROW_DTYPES and device.type == "cpu"
    return segmented() if is_ours else None


def _probe(forward: Forward, probes: Probes) -> torch.Tensor:
    """Logits of the last of their steps."""
    for rows in probes.steps:
        logits = forward.run(rows, mixed=False)
    for job in range(len(probes.prompts)):
        forward.close(job)
    return logits
