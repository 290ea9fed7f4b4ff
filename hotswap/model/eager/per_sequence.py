"""PerSequence: one forward pass for each row, on a transformers cache of its own.

The fall-back that serves every causal language model of transformers, whatever its
attention or state is made of. Slower: weights are read once for each row.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from transformers import Cache, DynamicCache, PreTrainedModel

from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.network.rows import Row


class PerSequence:
    def __init__(self, model: PreTrainedModel, lora: BatchedLora, plain: str) -> None:
        model.set_attn_implementation(plain)
        self._model = model
        self._lora = lora
        self._caches: dict[int, Cache] = {}
        self.token_bytes = 0

    def open(self, job: int, tokens: int) -> None:
        self._caches[job] = DynamicCache(config=self._model.config)

    def close(self, job: int) -> None:
        self._caches.pop(job, None)

    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """Logits [rows that want them, vocab], float32, in the order of `rows`."""
        found = [self._forward(row, mixed=mixed) for row in rows]
        kept = [f for f, row in zip(found, rows, strict=True) if row.wants_logits]
        return torch.stack(kept) if kept else torch.empty(0)

    def _forward(self, row: Row, *, mixed: bool) -> torch.Tensor:
        cache = self._caches[row.job]
        ids = torch.tensor([list(row.known)], device=self._model.device)
        mapped: AbstractContextManager[None] = nullcontext()
        if mixed:
            # The head sees the last row alone, whether or not it is asked for.
            own = row.generation
            mapped = self._lora.step([own] * len(row.known), [own])
        with torch.inference_mode(), mapped:
            logits = self._model(
                input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1
            ).logits
        if not self.token_bytes:
            self.token_bytes = _cache_bytes(cache) // len(row.known)
        return logits[0, -1].float()


def _cache_bytes(cache: Cache) -> int:
    total = 0
    for layer in cache.layers:
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            total += tensor.nbytes if tensor is not None else 0
    return total
