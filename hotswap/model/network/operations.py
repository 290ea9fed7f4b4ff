"""Operations: what a device gives for a decoder to be written over it.

`llama` is one chain of these. Each device implements them its own way: fused products
and packed weights on a CPU (`eager/operations`), kernels and graphs on a GPU.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from torch import Tensor, nn

from hotswap.model.weights.slots import Swappable

# What an executor makes of a step's rows: its own affair, handed through by the chain
StepT_contra = TypeVar("StepT_contra", contravariant=True)
Pointwise = Callable[[Tensor], Tensor]
"""[tokens, in] -> [tokens, out], each token by itself."""


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """`window`: how many of the last tokens each one attends to, itself included; None:
    all."""

    heads: int
    kv_heads: int
    head_dim: int
    scaling: float
    window: int | None


class LinearOperation(Protocol):
    """W and b are what `Weights` last pointed them to; in a mixed step the rows' own
    adapters are added."""

    def rows(self, x: Tensor) -> Tensor:
        """W x + b: [tokens, in] -> [tokens, out]."""

    def add(self, x: Tensor, other: Tensor) -> Tensor:
        """W x + b + other [tokens, out]. May write into `other`."""


class Operations(Protocol[StepT_contra]):
    """Made for one model: the modules given are its own, a path is the module's name in
    it. `linear`, `head`, `gate_up` are called once for each place in the chain, in its
    order."""

    @property
    def linears(self) -> Sequence[Swappable]:
        """All that were made so far, in the order of the chain."""

    def embed(self, embedding: nn.Parameter, step: StepT_contra) -> Tensor:
        """[tokens, hidden] of the step's ids."""

    def norm(self, module: nn.Module) -> Pointwise:
        """A RMS norm. Keeps the module's parameter: a slot may put another tensor into
        it."""

    def linear(self, modules: Mapping[str, nn.Module]) -> LinearOperation:
        """Modules of one input, by path; several are one product, their outputs one
        behind the other."""

    def head(self, path: str, module: nn.Module) -> LinearOperation:
        """The output head: it sees the rows that want logits."""

    def gate_up(
        self, gate: tuple[str, nn.Module], up: tuple[str, nn.Module]
    ) -> Pointwise:
        """silu(gate x) * (up x)."""

    def attention(
        self, index: int, shape: AttentionShape
    ) -> Callable[[Tensor, StepT_contra], Tensor]:
        """Of layer `index`: q, k and v [tokens, (heads + 2 kv_heads) * head_dim] ->
        [tokens, heads * head_dim]. Rotates q and k, writes k and v to the KV."""

    def last(self, x: Tensor, step: StepT_contra) -> Tensor:
        """Of [tokens, hidden] the rows that want logits, in their order."""
