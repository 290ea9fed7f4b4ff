"""PerSequence: one forward pass for each row, on a transformers cache of its own.

The fall-back that serves every causal language model of transformers, whatever its
attention or state is made of. Slower: weights are read once for each row.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import groupby

import torch
from transformers import Cache, DynamicCache, PreTrainedModel

from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.network.rows import Row


class PerSequence:
    shares_blocks = False

    def __init__(self, model: PreTrainedModel, lora: BatchedLora, plain: str) -> None:
        model.set_attn_implementation(plain)
        self._model = model
        self._lora = lora
        self._caches: dict[int, Cache] = {}
        self.token_bytes = 0

    def close(self, job: int) -> None:
        """Drop its cache; unknown jobs have none."""
        self._caches.pop(job, None)

    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """Logits [rows that want them, vocab], float32, in the order of `rows`."""
        kept = []
        for _, each in groupby(rows, key=lambda row: row.job):
            theirs = list(each)
            found = self._forward(theirs, mixed=mixed)
            if theirs[-1].wants_logits:
                kept.append(found)
        return torch.cat(kept) if kept else torch.empty(0)

    def _forward(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """Logits [rows, vocab] of one job's rows, each of them their last token's: one
        row, or several of one token each. A job that stands at its beginning gets a new
        cache: it is its first row, or it was sent back."""
        job, own = rows[0].job, rows[0].generation
        if rows[0].position == 0:
            self._caches[job] = DynamicCache(config=self._model.config)
        cache = self._caches[job]
        ids = [token for row in rows for token in row.known]
        mapped: AbstractContextManager[None] = nullcontext()
        if mixed:
            # The head sees the last rows alone, whether or not they are asked for.
            mapped = self._lora.step([own] * len(ids), [own] * len(rows))
        with torch.inference_mode(), mapped:
            logits = self._model(
                input_ids=torch.tensor([ids], device=self._model.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=len(rows),
            ).logits
        if not self.token_bytes:
            self.token_bytes = _cache_bytes(cache) // len(ids)
        return logits[0].float()


def _cache_bytes(cache: Cache) -> int:
    total = 0
    for layer in cache.layers:
        for tensor in (getattr(layer, "keys", None), getattr(layer, "values", None)):
            total += tensor.nbytes if tensor is not None else 0
    return total
