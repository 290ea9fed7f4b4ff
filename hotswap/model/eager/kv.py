"""KV: the keys and values of all live jobs, in one arena for each layer.

A job reserves a span [start, start + tokens) for all it may ever need. When free room
suffices but is scattered, the spans slide together. The arena of a layer is made at
its first write, [capacity, kv_heads, head_dim], because only the model knows those.
"""

from dataclasses import dataclass

import torch


@dataclass(slots=True, eq=False)
class Span:
    """One job's place; `start` changes when spans slide together."""

    start: int
    tokens: int


class KV:
    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}
        self._spans: list[Span] = []  # by start

    @property
    def token_bytes(self) -> int:
        """Bytes of one token over all layers written so far."""
        return sum(
            arena[0].nbytes
            for layers in (self._keys, self._values)
            for arena in layers.values()
        )

    def reserve(self, tokens: int) -> Span:
        """A span of `tokens`. The caller has counted that there is room."""
        used = sum(span.tokens for span in self._spans)
        assert used + tokens <= self.capacity, "the scheduler gave out too much KV"
        end = 0
        for index, span in enumerate(self._spans):
            if span.start - end >= tokens:
                return self._insert(index, end, tokens)
            end = span.start + span.tokens
        if self.capacity - end < tokens:
            end = self._slide_together()
        return self._insert(len(self._spans), end, tokens)

    def release(self, span: Span) -> None:
        self._spans.remove(span)

    def write(
        self, layer: int, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store [tokens, kv_heads, head_dim] at arena `rows`; returns both arenas."""
        if layer not in self._keys:
            for arenas, tensor in ((self._keys, keys), (self._values, values)):
                shape = (self.capacity, *tensor.shape[1:])
                arenas[layer] = tensor.new_empty(shape)
        self._keys[layer].index_copy_(0, rows, keys)
        self._values[layer].index_copy_(0, rows, values)
        return self._keys[layer], self._values[layer]

    def _insert(self, index: int, start: int, tokens: int) -> Span:
        span = Span(start, tokens)
        self._spans.insert(index, span)
        return span

    def _slide_together(self) -> int:
        """Close the gaps; returns the end of the last span."""
        end = 0
        for span in self._spans:
            if span.start != end:
                for arena in (*self._keys.values(), *self._values.values()):
                    # clone: source and target may overlap
                    moved = arena[span.start : span.start + span.tokens].clone()
                    arena[end : end + span.tokens] = moved
                span.start = end
            end += span.tokens
        return end
