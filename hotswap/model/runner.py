"""Runner: a loaded model made ready to serve - its weights, its KV, its forward pass.

At load it proves that the packed forward pass computes what transformers computes for
this model; if not, every row runs by itself on transformers' own cache.
"""

import logging
import os
from collections.abc import Sequence
from typing import Protocol

import torch

from hotswap.adapters.checkpoint import Layout
from hotswap.adapters.deltas import Generation
from hotswap.errors import StartFailed
from hotswap.model.linear import Beside, replace_linears
from hotswap.model.load import Loaded
from hotswap.model.packed import Packed
from hotswap.model.per_sequence import PerSequence
from hotswap.model.rows import Row
from hotswap.model.weights import Weights, slots_that_fit

log = logging.getLogger(__name__)

_PROBE = [[5, 6, 7, 8, 9, 10], [11, 12, 13]]
_MOST_AUTO_SLOTS = 64
_TOLERANCE = {torch.float32: 1e-4}


class Forward(Protocol):
    """How rows become logits: `Packed` or `PerSequence`."""

    @property
    def token_bytes(self) -> int: ...
    def open(self, job: int, tokens: int) -> None: ...
    def close(self, job: int) -> None: ...
    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor: ...


class Runner:
    """Owned by the engine thread. `slots` and `kv_tokens`: None means by budget."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        slots: int | None = None,
        kv_tokens: int | None = None,
        budget_bytes: int | None = None,
    ) -> None:
        model = loaded.model
        plain = model.config._attn_implementation or "eager"
        with torch.inference_mode():
            wanted = [
                model(input_ids=torch.tensor([ids], device=model.device)).logits[0, -1]
                for ids in _PROBE
            ]
        self._beside = Beside(model.dtype, model.device)
        linears = replace_linears(model, self._beside)
        if not linears:
            raise StartFailed(
                f"model {loaded.name}: it has no linear layer to merge into"
            )
        others = {p for p, _ in model.named_modules() if p and p not in linears}
        self.layout = Layout(
            linear={path: linear.shape for path, linear in linears.items()},
            others=frozenset(others),
        )
        self.is_packed, token_bytes = self._prove(loaded, plain, wanted)
        budget = budget_bytes or _free_bytes() // 2
        if slots is None:
            slots = min(slots_that_fit(linears, budget // 2), _MOST_AUTO_SLOTS)
        if kv_tokens is None:
            kv_tokens = max(budget // 2 // max(token_bytes, 1), loaded.context)
        self.kv_tokens = kv_tokens
        self.weights = Weights(linears, slots)
        self.memory = {
            "golden_bytes": _bytes_of(
                [*model.parameters(), *(linear.weight for linear in linears.values())]
            ),
            "slot_bytes": sum(linear.weight.nbytes for linear in linears.values()),
            "slots": slots,
            "kv_token_bytes": token_bytes,
            "kv_tokens": kv_tokens,
        }
        self._forward: Forward = (
            Packed(model, self._beside, kv_tokens)
            if self.is_packed
            else PerSequence(model, self._beside, plain)
        )

    def open(self, job: int, tokens: int) -> None:
        """Reserve KV for a job. Never fails while the scheduler counts right."""
        self._forward.open(job, tokens)

    def close(self, job: int) -> None:
        """Give a job's KV back; unknown jobs never had any."""
        self._forward.close(job)

    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """One step with the weights as they are. Logits [wanting rows, vocab] float32.

        Mutates the KV of the rows' jobs; weights never.
        """
        return self._forward.run(rows, mixed=mixed)

    def forget(self, generation: Generation | str) -> None:
        """Drop what is kept of a generation that nobody uses any more."""
        key = generation if isinstance(generation, str) else generation.key
        self.weights.forget(key)
        self._beside.forget(key)

    def _prove(
        self, loaded: Loaded, plain: str, wanted: list[torch.Tensor]
    ) -> tuple[bool, int]:
        """Whether packed logits are transformers' own, and a token's KV bytes."""
        rope = getattr(loaded.model.config.get_text_config(), "rope_parameters", None)
        # Frequencies that depend on the longest job of a batch would mix the jobs.
        varies = isinstance(rope, dict) and rope.get("rope_type") in (
            "dynamic",
            "longrope",
        )
        if not varies:
            try:
                packed = Packed(loaded.model, self._beside, capacity=32)
                found = _probe(packed)
                if _agree(found, wanted):
                    return True, packed.token_bytes
                reason = "its logits differ"
            except Exception as error:
                # Any failure of any architecture means the same: not this way.
                reason = f"{type(error).__name__}: {error}"
        else:
            reason = f"rope_type {rope['rope_type']!r}" if rope else ""
        log.warning(
            "model %s runs row by row, the packed pass does not fit it (%s)",
            loaded.name,
            reason.splitlines()[0],
        )
        alone = PerSequence(loaded.model, self._beside, plain)
        found = _probe(alone)
        if not _agree(found, wanted):
            raise StartFailed(f"model {loaded.name}: replaced layers change its logits")
        return False, alone.token_bytes


def _probe(forward: Forward) -> torch.Tensor:
    """Both probes: a prompt in one piece, chunks, and a decoding row, all mingled."""
    for job, ids in enumerate(_PROBE):
        forward.open(job, len(ids))
    plan = [[(0, 0, 2), (1, 0, 1)], [(0, 2, 5), (1, 1, 2)], [(0, 5, 6), (1, 2, 3)]]
    for step in plan:
        rows = [
            Row(
                job=job,
                tokens=_PROBE[job][start:stop],
                position=start,
                generation=None,
                wants_logits=stop == len(_PROBE[job]),
            )
            for job, start, stop in step
        ]
        logits = forward.run(rows, mixed=False)
    for job in range(len(_PROBE)):
        forward.close(job)
    return logits


def _agree(found: torch.Tensor, wanted: list[torch.Tensor]) -> bool:
    tolerance = _TOLERANCE.get(wanted[0].dtype, 0.05)
    for ours, theirs in zip(found, wanted, strict=True):
        gap = (ours - theirs.float()).norm() / theirs.float().norm()
        if not bool(gap <= tolerance):
            return False
    return True


def _bytes_of(tensors: list[torch.Tensor]) -> int:
    """Tied tensors share their memory and count once."""
    return sum({t.data_ptr(): t.nbytes for t in tensors}.values())


def _free_bytes() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
