"""Packed: one forward pass over all rows of a step, on the KV arena.

Works for every model whose attention takes transformers' attention interface and
whose layers treat tokens independently otherwise; `runner` proves it at load.
"""

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from transformers import PreTrainedModel

from hotswap.model import attention
from hotswap.model.attention import Attention, Place
from hotswap.model.kv import KV, Span
from hotswap.model.linear import Beside
from hotswap.model.rows import Row, key_of, segments


class Packed:
    def __init__(self, model: PreTrainedModel, beside: Beside, capacity: int) -> None:
        model.set_attn_implementation(attention.NAME)
        self._model = model
        self._beside = beside
        self._kv = KV(capacity)
        self._spans: dict[int, Span] = {}

    @property
    def token_bytes(self) -> int:
        return self._kv.token_bytes

    def open(self, job: int, tokens: int) -> None:
        self._spans[job] = self._kv.reserve(tokens)

    def close(self, job: int) -> None:
        span = self._spans.pop(job, None)
        if span is not None:
            self._kv.release(span)

    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """Logits [rows that want them, vocab], float32, in the order of `rows`."""
        order = (
            sorted(range(len(rows)), key=lambda i: key_of(rows[i])) if mixed else None
        )
        ordered = [rows[i] for i in order] if order else rows
        logits = self._forward(ordered, mixed=mixed)
        if order is None:
            return logits
        wanting = [i for i in order if rows[i].wants_logits]
        back = sorted(range(len(wanting)), key=wanting.__getitem__)
        return logits[back]

    def _forward(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        device = self._model.device
        places: list[Place] = []
        ids: list[int] = []
        positions: list[int] = []
        last: list[int] = []  # rows of the step whose logits are wanted
        for row in rows:
            span = self._spans[row.job]
            places.append(Place(len(ids), len(row.tokens), row.position, span))
            ids.extend(row.tokens)
            positions.extend(range(row.position, row.position + len(row.tokens)))
            if row.wants_logits:
                last.append(len(ids) - 1)
        beside = (
            self._beside.step(*segments(rows, self._beside)) if mixed else nullcontext()
        )
        with torch.inference_mode(), beside:
            logits = self._model(
                input_ids=torch.tensor([ids], device=device),
                position_ids=torch.tensor([positions], device=device),
                use_cache=False,
                logits_to_keep=torch.tensor(last, dtype=torch.long, device=device),
                step=Attention(self._kv, places, device),
            ).logits
        return logits[0].float()
