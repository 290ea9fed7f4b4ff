"""Runner: a loaded model ready to serve - its weights, its KV, its forward pass."""

import os
from collections.abc import Sequence

import torch

from hotswap.adapters.deltas import Generation, bytes_of
from hotswap.adapters.layout import Layout, hollowed
from hotswap.errors import StartFailed
from hotswap.model.fit import fit
from hotswap.model.kernels import kernels_for
from hotswap.model.linear import head_of
from hotswap.model.load import Loaded
from hotswap.model.loose import loose_of
from hotswap.model.rows import Row
from hotswap.model.weights import Place, Weights, slots_that_fit


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
        modules = [path for path, _ in model.named_modules() if path]
        loaded_bytes = bytes_of(model.parameters())
        skeleton = hollowed(model)  # before any module of it is replaced
        kernels = kernels_for(model.dtype, model.device)
        head = head_of(model)
        self.head = next((p for p, m in model.named_modules() if m is head), "")
        fitted = fit(loaded, kernels)
        linears = fitted.linears
        if not linears:
            raise StartFailed(
                f"model {loaded.name}: it has no linear layer to merge into"
            )
        shapes = {
            path: (rows.stop - rows.start, linear.golden.shape[1])
            for linear in linears
            for path, rows in linear.parts.items()
        }
        places: list[Place] = [*linears, *loose_of(model, linears)]
        self.layout = Layout(
            linear=shapes,
            others=frozenset(path for path in modules if path not in shapes),
            skeleton=skeleton,
            golden={path: p.golden_of(path) for p in places for path in p.parts},
            base=loaded.name,
        )
        # Most adapters leave the embedding and the norms alone: they are not counted.
        slot_bytes = sum(linear.golden.nbytes for linear in linears)
        budget = budget_bytes or _free_bytes() // 2
        if slots is None:
            slots = slots_that_fit(slot_bytes, budget // 2)
        if kv_tokens is None:
            per_token = max(fitted.token_bytes, 1)
            kv_tokens = max(budget // 4 // per_token, loaded.context)
        self.kind = fitted.kind
        self.dtype = model.dtype
        self.kv_tokens = kv_tokens
        self.weights = Weights(places, slots)
        self.memory = {
            "golden_bytes": loaded_bytes + (slot_bytes if kernels.copies else 0),
            "slot_bytes": slot_bytes,
            "slots": slots,
            "kv_token_bytes": fitted.token_bytes,
            "kv_tokens": kv_tokens,
            "adapter_bytes": budget // 4,
        }
        self._beside = fitted.beside
        self._forward = fitted.forward(kv_tokens)

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
        if mixed:
            for row in rows:
                made = row.generation
                assert made is None or made.can_mix, f"{made.key} is merged only"
        return self._forward.run(rows, mixed=mixed)

    def forget(self, generation: Generation | str) -> None:
        """Drop what is kept of a generation that nobody uses any more."""
        key = generation if isinstance(generation, str) else generation.key
        self.weights.forget(key)
        self._beside.forget(key)


def _free_bytes() -> int:
    if torch.cuda.is_available():
        return int(torch.cuda.mem_get_info()[0])
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
