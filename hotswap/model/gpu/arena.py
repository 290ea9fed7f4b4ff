"""Arena: the keys and values of all live jobs, allocated once for all layers.

Who has which of its rows is the engine's to say, in blocks of `BLOCK_TOKENS`. What a
job had may still be written by a step in the air when the next one has it already: that
one's steps are launched later, and the device runs them in order.
"""

import torch


class Arena:
    """[capacity, kv_heads, head_dim] of keys and of values for each layer."""

    def __init__(
        self,
        layers: int,
        capacity: int,
        shape: tuple[int, int],
        like: torch.Tensor,
    ) -> None:
        # Zeros: calibration attends to what was never written, and times real numbers.
        self._both = like.new_zeros((layers, 2, capacity, *shape))
        self.keys = [layer[0] for layer in self._both]
        self.values = [layer[1] for layer in self._both]

    @property
    def nbytes(self) -> int:
        return self._both.nbytes
