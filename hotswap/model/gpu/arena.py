"""Arena: the keys and values of all live jobs, allocated once for all layers."""

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
        # Zeros: what was never written is read by nobody, but multiplied by zero in a
        # block whose other rows were.
        self._both = like.new_zeros((layers, 2, capacity, *shape))
        self.keys = [layer[0] for layer in self._both]
        self.values = [layer[1] for layer in self._both]

    @property
    def nbytes(self) -> int:
        return self._both.nbytes

    @torch.inference_mode()
    def move(self, start: int, to: int, tokens: int) -> None:
        """Of every layer; queued after the steps that were launched so far."""
        for layer in self._both:
            # clone: source and target may overlap
            layer[:, to : to + tokens] = layer[:, start : start + tokens].clone()
