"""KV: the keys and values of all live jobs, in one arena for each layer.

`spans` says which rows are whose. The arena of a layer is made at its first write,
[capacity, kv_heads, head_dim], because only the model knows those.
"""

import torch

from hotswap.model.network.spans import Spans


class KV:
    def __init__(self, capacity: int) -> None:
        self.spans = Spans(capacity, self._move)
        self._keys: dict[int, torch.Tensor] = {}
        self._values: dict[int, torch.Tensor] = {}

    @property
    def token_bytes(self) -> int:
        """Bytes of one token over all layers written so far."""
        return sum(
            arena[0].nbytes
            for layers in (self._keys, self._values)
            for arena in layers.values()
        )

    def write(
        self, layer: int, rows: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store [tokens, kv_heads, head_dim] at arena `rows`; returns both arenas."""
        if layer not in self._keys:
            for arenas, tensor in ((self._keys, keys), (self._values, values)):
                shape = (self.spans.capacity, *tensor.shape[1:])
                arenas[layer] = tensor.new_empty(shape)
        self._keys[layer].index_copy_(0, rows, keys)
        self._values[layer].index_copy_(0, rows, values)
        return self._keys[layer], self._values[layer]

    def _move(self, source: int, target: int, rows: int) -> None:
        for arena in (*self._keys.values(), *self._values.values()):
            # clone: source and target may overlap
            arena[target : target + rows] = arena[source : source + rows].clone()
