"""A layer of two modules with adapters stacked on it, checked by the definition."""

from collections.abc import Sequence

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.eager.batched_lora import BatchedLora
from hotswap.model.eager.lora_stack import LoraStack
from hotswap.model.machine.kernels import kernels_for
from hotswap.model.machine.segmented import Segmented

X = torch.eye(4)
KERNELS = kernels_for(torch.float32, torch.device("cpu"))


def generation(
    key: str, rank: int, *modules: str, dtype: torch.dtype = torch.float32
) -> Generation:
    random = torch.Generator().manual_seed(ord(key[0]))
    deltas = {
        module: Delta(
            a=torch.randn(rank, 4, generator=random).to(dtype),
            b=torch.randn(3, rank, generator=random).to(dtype),
            scale=0.3,
        )
        for module in modules
    }
    return Generation(key=key, deltas=deltas)


def update(of: Generation | None, module: str) -> torch.Tensor:
    """What the adapter adds for a row, by the definition."""
    if of is None or module not in of.deltas:
        return torch.zeros(4, 3)
    delta = of.deltas[module]
    made: torch.Tensor = delta.scale * delta.b.float() @ delta.a.float()
    return made.t()


def made(native: Segmented | None = None) -> tuple[BatchedLora, LoraStack]:
    """A layer that stacks q and k."""
    lora = BatchedLora(torch.float32, torch.device("cpu"), KERNELS, native)
    return lora, lora.stack({"q": slice(0, 3), "k": slice(3, 6)})


def check(
    lora: BatchedLora, stack: LoraStack, owners: Sequence[Generation | None]
) -> None:
    y = torch.ones(len(owners), 6)
    lora.load(owner for owner in owners if owner)
    with torch.inference_mode(), lora.step(owners, []):
        found = stack.add_to(y, X[: len(owners)])
    for row, owner in enumerate(owners):
        wanted = torch.cat((update(owner, "q")[row], update(owner, "k")[row]))
        torch.testing.assert_close(found[row], 1 + wanted)
