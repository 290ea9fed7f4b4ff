"""Fit: find the fastest forward pass that computes what transformers computes.

The candidates, fastest first: `llama`, for the architectures it knows; `interface`,
for any model whose attention can be replaced; `alone`, each row by itself on
transformers' own cache, for all the rest. Each has to prove itself on probes.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from hotswap.errors import StartFailed
from hotswap.model import interface
from hotswap.model.beside import Beside
from hotswap.model.kernels import Kernels
from hotswap.model.linear import Linear, replace_linears
from hotswap.model.llama import Llama
from hotswap.model.load import Loaded
from hotswap.model.packed import Packed
from hotswap.model.per_sequence import PerSequence
from hotswap.model.rows import Row

log = logging.getLogger(__name__)

_TOLERANCE = {torch.float32: 1e-4}


class Forward(Protocol):
    """How rows become logits: `Packed` or `PerSequence`."""

    @property
    def token_bytes(self) -> int: ...
    def open(self, job: int, tokens: int) -> None: ...
    def close(self, job: int) -> None: ...
    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor: ...


@dataclass(frozen=True, slots=True)
class Fitted:
    """`forward` makes the pass for so many KV tokens."""

    kind: str
    forward: Callable[[int], Forward]
    linears: list[Linear]
    beside: Beside
    token_bytes: int = 0


def fit(loaded: Loaded, kernels: Kernels) -> Fitted:
    """The first candidate that is right. Mutates the model if it must.

    Raises StartFailed if none is.
    """
    model = loaded.model
    probes = _probes(model.config.get_text_config().vocab_size)
    with torch.inference_mode():
        wanted = [
            model(input_ids=torch.tensor([ids], device=model.device)).logits[0, -1]
            for ids in probes
        ]
    plain = model.config._attn_implementation or "eager"
    candidates = [lambda: _alone(loaded, kernels, plain)]
    if not _mixes_jobs(loaded):
        candidates.insert(0, lambda: _interface(loaded, kernels))
        if Llama.fits(model):
            candidates.insert(0, lambda: _llama(loaded, kernels))
        reason = ""
    else:
        reason = "its rotary frequencies depend on the longest job"
    for candidate in candidates:
        try:
            fitted = candidate()
            forward = fitted.forward(32)
            if _agree(_probe(forward, probes), wanted):
                if reason:
                    log.warning(
                        "model %s is served by the pass %r (%s)",
                        loaded.name,
                        fitted.kind,
                        reason,
                    )
                return Fitted(
                    fitted.kind,
                    fitted.forward,
                    fitted.linears,
                    fitted.beside,
                    forward.token_bytes,
                )
            reason = "its logits differ"
        except Exception as error:
            # Any failure of any architecture means the same: not this way.
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
    raise StartFailed(f"model {loaded.name}: it cannot be run ({reason})")


def _llama(loaded: Loaded, kernels: Kernels) -> Fitted:
    beside = Beside(loaded.model.dtype, loaded.model.device, kernels)
    network = Llama(loaded.model, beside, kernels)
    device = loaded.model.device
    return Fitted(
        "llama",
        lambda capacity: Packed(network, beside, capacity, device),
        network.linears,
        beside,
    )


def _interface(loaded: Loaded, kernels: Kernels) -> Fitted:
    model = loaded.model
    beside, linears = _replaced(loaded, kernels)
    return Fitted(
        "interface",
        lambda capacity: Packed(
            interface.network(model), beside, capacity, model.device
        ),
        linears,
        beside,
    )


def _alone(loaded: Loaded, kernels: Kernels, plain: str) -> Fitted:
    model = loaded.model
    beside, linears = _replaced(loaded, kernels)
    return Fitted("alone", lambda _: PerSequence(model, beside, plain), linears, beside)


def _replaced(loaded: Loaded, kernels: Kernels) -> tuple[Beside, list[Linear]]:
    """The model's linear layers made ours; a second call finds them."""
    model = loaded.model
    found = [m for m in model.modules() if isinstance(m, Linear)]
    if found:
        return found[0].beside, found
    beside = Beside(model.dtype, model.device, kernels)
    return beside, replace_linears(model, beside, kernels)


def _mixes_jobs(loaded: Loaded) -> bool:
    """Frequencies that depend on the longest job of a batch would mix the jobs."""
    rope = getattr(loaded.model.config.get_text_config(), "rope_parameters", None)
    return isinstance(rope, dict) and rope.get("rope_type") in ("dynamic", "longrope")


def _probes(vocabulary: int) -> list[list[int]]:
    """A longer and a shorter prompt of common tokens: the first ones of a vocabulary
    are often unused, and what a model makes of those is mostly rounding."""
    ids = [vocabulary // 50 * (n + 1) for n in range(9)]
    return [ids[:6], ids[6:]]


def _probe(forward: Forward, probes: list[list[int]]) -> torch.Tensor:
    """Both probes: a prompt in one piece, chunks, and a decoding row, all mingled."""
    for job, ids in enumerate(probes):
        forward.open(job, len(ids))
    plan = [[(0, 0, 2), (1, 0, 1)], [(0, 2, 5), (1, 1, 2)], [(0, 5, 6), (1, 2, 3)]]
    for step in plan:
        rows = [
            Row(
                job=job,
                tokens=probes[job][start:stop],
                position=start,
                generation=None,
                wants_logits=stop == len(probes[job]),
            )
            for job, start, stop in step
        ]
        logits = forward.run(rows, mixed=False)
    for job in range(len(probes)):
        forward.close(job)
    return logits


def _agree(found: torch.Tensor, wanted: list[torch.Tensor]) -> bool:
    tolerance = _TOLERANCE.get(wanted[0].dtype, 0.05)
    for ours, theirs in zip(found, wanted, strict=True):
        gap = (ours - theirs.float()).norm() / theirs.float().norm()
        if not bool(gap <= tolerance):
            return False
    return True
