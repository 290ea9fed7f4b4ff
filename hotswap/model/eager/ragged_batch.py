"""RaggedBatch: one forward pass over all rows of a step, on the KV arena.

The tokens of all jobs come as one sequence without padding, those of a job together
(vLLM's flat batch). What computes it is a `Network`: `llama` for the architectures it
knows, `attention_interface` for any transformers model whose attention can be replaced.
"""

from array import array
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from hotswap.model.eager.attention import Segment
from hotswap.model.eager.attention_choice import AttentionKV, StepAttention
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.network.rows import BLOCK_TOKENS, Row


@dataclass(frozen=True, slots=True)
class Inputs:
    """One step, as a network sees it."""

    ids: torch.Tensor  # [tokens]
    positions: torch.Tensor  # [tokens]
    last: torch.Tensor  # [rows that want logits] their last tokens
    attention: StepAttention


# oneDNN makes and keeps a kernel for each number of rows that it meets, half a megabyte
# and some milliseconds each: a step of more tokens is filled up to a multiple of this.
_FILL = BLOCK_TOKENS  # so that one block takes what fills a step up

Network = Callable[[Inputs], torch.Tensor]
"""Logits [rows that want them, vocab]. Writes the KV."""


class RaggedBatch:
    """Owned by the engine thread. Keeps nothing of a job but what is in its blocks."""

    shares_blocks = True

    def __init__(
        self,
        network: Network,
        lora: BatchedLora,
        attention: Callable[[int], AttentionKV],
        capacity: int,
        device: torch.device,
    ) -> None:
        """`attention`: with so many blocks of KV. `capacity`: tokens of it."""
        self._network = network
        self._lora = lora
        self._fill = _FILL if device.type == "cpu" else 1
        blocks = capacity // BLOCK_TOKENS
        self._kv = attention(blocks + 1)
        self._nobody = array("i", [blocks])  # whose tokens fill a step up
        self._device = device

    @property
    def token_bytes(self) -> int:
        return self._kv.token_bytes

    def close(self, job: int) -> None:
        """Its blocks are the scheduler's."""

    def run(self, rows: Sequence[Row], *, mixed: bool) -> torch.Tensor:
        """Logits [rows that want them, vocab], float32, in the order of `rows`."""
        inputs = self._inputs(rows)
        mapped: AbstractContextManager[None] = nullcontext()
        if mixed:
            tokens = [row.generation for row in rows for _ in row.known]
            tokens += [None] * (len(inputs.ids) - len(tokens))
            logits = [row.generation for row in rows if row.wants_logits]
            mapped = self._lora.step(tokens, logits)
        with torch.inference_mode(), mapped:
            return self._network(inputs).float()

    def _inputs(self, rows: Sequence[Row]) -> Inputs:
        segments: list[Segment] = []
        ids: list[int] = []
        positions: list[int] = []
        last: list[int] = []
        for row in rows:
            tokens = len(row.known)
            segments.append(Segment(len(ids), tokens, row.position, row.blocks))
            ids.extend(row.known)
            positions.extend(range(row.position, row.position + tokens))
            if row.wants_logits:
                last.append(len(ids) - 1)
        if rest := -len(ids) % self._fill if len(ids) > self._fill else 0:
            segments.append(Segment(len(ids), rest, 0, self._nobody))
            ids.extend([0] * rest)
            positions.extend(range(rest))
        return Inputs(
            ids=torch.tensor(ids, device=self._device),
            positions=torch.tensor(positions, device=self._device),
            last=torch.tensor(last, dtype=torch.long, device=self._device),
            attention=self._kv.step(segments),
        )
