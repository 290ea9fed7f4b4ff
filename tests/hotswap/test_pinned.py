"""An adapter's factors in one block of memory that a device reads by itself."""

import torch

from hotswap.adapters.generation import Delta, Generation
from hotswap.model.machine.device import Host
from hotswap.model.machine.pinned import pinned


class Aside(Host):
    """A device that keeps what it reads in blocks of its own."""

    is_host = False

    def __init__(self) -> None:
        self.blocks: list[torch.Tensor] = []

    def kept(self, tensor: torch.Tensor) -> torch.Tensor:
        self.blocks.append(tensor.clone())
        return self.blocks[-1]


def generation() -> Generation:
    random = torch.Generator().manual_seed(0)

    def factor(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=random)

    return Generation(
        key="a",
        deltas={
            "one": Delta(a=factor(3, 5), b=factor(7, 3), scale=0.5),
            "two": Delta(a=factor(1, 9).bfloat16(), b=factor(9, 1).half(), scale=2.0),
            # Not contiguous, as a transposed file's
            "three": Delta(a=factor(5, 2).t(), b=factor(2, 4).t(), scale=1.0),
        },
        note="as it was",
    )


def test_every_factor_is_as_it_was_and_all_lie_in_one_block() -> None:
    device, before = Aside(), generation()

    after = pinned(before, device)

    assert (after.key, after.note, after.nbytes) == ("a", "as it was", before.nbytes)
    (block,) = device.blocks
    first, last = block.data_ptr(), block.data_ptr() + block.nbytes
    for path, delta in before.deltas.items():
        found = after.deltas[path]
        assert found.scale == delta.scale
        for ours, theirs in ((found.a, delta.a), (found.b, delta.b)):
            assert ours.dtype == theirs.dtype
            assert torch.equal(ours, theirs)
            assert ours.is_contiguous()
            assert first <= ours.data_ptr() <= last - ours.nbytes
            assert ours.data_ptr() % 64 == first % 64


def test_no_two_factors_share_memory() -> None:
    after = pinned(generation(), Aside())

    for delta in after.deltas.values():
        delta.a.zero_()
        delta.b.fill_(1)

    assert all(bool((delta.a == 0).all()) for delta in after.deltas.values())
    assert all(bool((delta.b == 1).all()) for delta in after.deltas.values())


def test_where_the_model_computes_in_host_memory_nothing_is_copied() -> None:
    before = generation()

    assert pinned(before, Host()) is before
    bare = Generation(key="b", deltas={})
    assert pinned(bare, Aside()) is bare
