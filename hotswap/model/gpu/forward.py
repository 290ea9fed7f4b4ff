"""GpuForward: one forward pass over all rows of a step, as a graph where it can be.

    rows -> numbers -> bucket -> tables, one copy -> graph, or the same work eager

Not yet run on a GPU.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from hotswap.model.gpu.attention_table import AttentionTable, tile_rows
from hotswap.model.gpu.buckets import (
    LARGEST,
    Bucket,
    bucket_of,
    graphed_buckets,
)
from hotswap.model.gpu.graphs import GraphBackend, GraphKey, Graphs
from hotswap.model.gpu.lora_pool import LoraPool
from hotswap.model.gpu.lora_table import LoraTable
from hotswap.model.gpu.operations import GpuOperations, GpuStep
from hotswap.model.gpu.staging import Shapes, Staging, words_of
from hotswap.model.gpu.step_inputs import StepRows, fill, put, shapes_of, step_rows
from hotswap.model.machine.device import Device
from hotswap.model.network.rows import BLOCK_TOKENS, Row

Network = Callable[[GpuStep], torch.Tensor]
"""Logits [bucket's sequences, vocab]. Writes the KV."""


class Form(NamedTuple):
    """What a step's tables and its work depend on. `has_lora`: it is mixed;
    `has_head`: an adapter in it changes the head."""

    bucket: Bucket
    has_lora: bool = False
    has_head: bool = False


_Prepared = tuple[Shapes, Callable[[], torch.Tensor]]
"""A form's fields, and its work on them."""


class GpuForward:
    """Owned by the engine thread. A step has at most `sequences` rows and `tokens`
    tokens, and a sequence at most `context` of them. `sampled` [sequences, a
    `room_for`] int64: what the step before sampled."""

    def __init__(
        self,
        network: Network,
        operations: GpuOperations,
        pool: LoraPool,
        backend: GraphBackend,
        device: Device,
        *,
        sampled: torch.Tensor,
        max_tokens: int,
        context: int,
    ) -> None:
        self.sequences, self.tokens = len(sampled), max(max_tokens, LARGEST)
        self.sampled = sampled
        self._network = network
        self._pool = pool
        self._graphs = Graphs(backend)
        place = operations.place
        head = operations.linears[-1].golden
        self._logits = torch.zeros(
            self.sequences, head.shape[0], dtype=torch.float32, device=place
        )
        shape = operations.attentions[0]
        self._tile_rows = tile_rows(shape.heads, shape.kv_heads)
        self._blocks = operations.kv_blocks
        self._most_blocks = -(-context // BLOCK_TOKENS)  # of a sequence
        most = bucket_of(self.tokens, 1, is_decode=False, most_sequences=self.sequences)
        words = words_of(self._shapes(Form(most, has_lora=True, has_head=True)))
        self._staging = Staging(device, place, words)
        self._steps: dict[Form, _Prepared] = {}

    @property
    def graphs(self) -> tuple[int, int]:
        """How many were captured, and how many could not be."""
        return len(self._graphs), self._graphs.eager

    @torch.inference_mode()
    def run(
        self,
        rows: Sequence[Row],
        sampled_at: Mapping[int, int],
        *,
        mixed: bool,
        memory_id: int | None,
    ) -> torch.Tensor:
        """Logits [rows that want them, vocab] float32, in the order of `rows`, good
        until the next run. `memory_id`: whose weights it computes with, None: such as
        no graph may read."""
        numbers = step_rows(rows, sampled_at)
        self._check(numbers)
        bucket = bucket_of(
            len(numbers.ids),
            len(rows),
            is_decode=numbers.is_decode,
            most_sequences=self.sequences,
        )
        keys = [row.generation.key if row.generation else "" for row in rows]
        has_head = mixed and self._pool.touches_head({*keys} - {""})
        form = Form(bucket, mixed, has_head)
        logits = self._launch(form, numbers, keys, memory_id)
        return logits[: int(numbers.wants_logits.sum())]

    def _check(self, numbers: StepRows) -> None:
        """ValueError for what no buffer has room for, and for blocks that are none: the
        device would read and write anywhere."""
        rows, tokens = len(numbers.counts), len(numbers.ids)
        if rows > self.sequences or tokens > self.tokens:
            raise ValueError(
                f"a step of {rows} rows and {tokens} tokens: at most {self.sequences} "
                f"and {self.tokens} fit"
            )
        table = numbers.block_table
        if len(table) > rows * self._most_blocks:
            raise ValueError("a row stands behind the context")
        # Unsigned: those below zero are the largest of all.
        if len(table) and table.view(np.uint32).max() >= self._blocks:
            raise ValueError(f"a row names a block of KV behind the {self._blocks}")

    @torch.inference_mode()
    def warm_up(self, memory_id: int, *, mixed: bool) -> None:
        """Capture every graph that steps on these weights will need. Reads and writes
        no KV: nobody takes part."""
        nobody = step_rows([], {})
        for bucket in graphed_buckets(self.sequences):
            self._launch(Form(bucket, mixed), nobody, [], memory_id)

    def _launch(
        self, form: Form, numbers: StepRows, keys: Sequence[str], memory_id: int | None
    ) -> torch.Tensor:
        """Logits [bucket's sequences, vocab] float32."""
        shapes, work = self._prepared(form)
        into = self._staging.write(shapes)
        fill(into, numbers, self._tile_rows)
        if form.has_lora:
            owners = [
                k for k, n in zip(keys, numbers.counts, strict=True) for _ in range(n)
            ]
            put(into["lora"], self._pool.table(owners, form.bucket.tokens), 0)
        if form.has_head:
            owners = [k for k, w in zip(keys, numbers.wants_logits, strict=True) if w]
            put(into["head"], self._pool.table(owners, form.bucket.sequences), 0)
        self._staging.send(len(numbers.block_table))
        if memory_id is None or form.has_head or not form.bucket.is_graphed:
            return work().float()
        key = GraphKey(memory_id, form.has_lora, form.bucket)
        self._graphs.run(key, partial(self._keep, work))
        return self._logits[: form.bucket.sequences]

    def _keep(self, work: Callable[[], torch.Tensor]) -> None:
        """A graph's result is where it always is, in float32."""
        logits = work()
        self._logits[: len(logits)].copy_(logits)

    def _prepared(self, form: Form) -> _Prepared:
        """The same memory each time, for graphs."""
        if form not in self._steps:
            shapes = self._shapes(form)
            fields = self._staging.read(shapes)
            step = GpuStep(
                ids=fields["ids"],
                source=fields["source"],
                sampled=self.sampled,
                positions=fields["positions"],
                write=fields["write"],
                last=fields.get("last"),
                table=AttentionTable(
                    block_table=fields["block_table"],
                    offset=fields["offset"],
                    seen=fields["seen"],
                    first=fields["first"],
                    count=fields["count"],
                    tiles=fields.get("tiles"),
                ),
            )
            bucket, pool = form.bucket, self._pool
            tokens = logits = None
            if form.has_lora:
                tokens = LoraTable(pool.table_shape(bucket.tokens), fields["lora"])
            if form.has_head:
                logits = LoraTable(pool.table_shape(bucket.sequences), fields["head"])
            work = partial(self._work, step, tokens, logits)
            self._steps[form] = shapes, work
        return self._steps[form]

    def _work(
        self, step: GpuStep, tokens: LoraTable | None, logits: LoraTable | None
    ) -> torch.Tensor:
        with self._pool.over(tokens, logits):
            return self._network(step)

    def _shapes(self, form: Form) -> Shapes:
        bucket = form.bucket
        shapes = shapes_of(bucket, self._tile_rows)
        if form.has_lora:
            shapes["lora"] = (self._pool.table_shape(bucket.tokens).size,)
        if form.has_head:
            shapes["head"] = (self._pool.table_shape(bucket.sequences).size,)
        # Last: of this one alone not all is sent
        shapes["block_table"] = (bucket.sequences * self._most_blocks,)
        return shapes
