"""In whatever order adapters come, are used, leave and fail: the rows are right."""

from collections.abc import Set
from contextlib import suppress

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from hotswap.adapters.generation import Delta, Generation
from hotswap.errors import MixFailed
from hotswap.model.eager.batched_lora import LINGER, BatchedLora
from hotswap.model.eager.lora_stack import LoraStack
from hotswap.model.machine.segmented import Segmented, segmented
from tests.compilers import needs_compiler
from tests.lora_layer import KERNELS, X, generation, update

NAMES = "abcdefgh"

CAST = {
    name: generation(name, 1 + n % 3, *[("q", "k"), ("q", "o"), ("o",)][n % 3])
    for n, name in enumerate(NAMES)
}

BROKEN = {
    name: Generation(
        key=name,
        # The third layer cannot take it, whatever the first two did
        deltas={
            **CAST[name].deltas,
            "o": Delta(a=torch.ones(2, 4), b=torch.full((3, 2), torch.inf), scale=1.0),
        },
    )
    for name in NAMES
}


class Books(RuleBasedStateMachine):
    """Adapters join, are used, idle, are forgotten and fail in any order: each row of
    each layer gets its own adapter's update, from the step on in which it comes."""

    def __init__(self) -> None:
        super().__init__()
        cpu = torch.device("cpu")
        self.lora = BatchedLora(torch.float32, cpu, KERNELS, self.native())
        self.layers = {
            parts: self.lora.stack({p: slice(3 * n, 3 * n + 3) for n, p in parts})
            for parts in (((0, "q"), (1, "k")), ((0, "k"),), ((0, "o"), (1, "q")))
        }

    def native(self) -> Segmented | None:
        return None

    @rule(names=st.lists(st.sampled_from(" " + NAMES), min_size=1, max_size=4))
    def use(self, names: list[str]) -> None:
        owners = [CAST.get(name) for name in names]
        self.lora.load(owner for owner in owners if owner)
        with torch.inference_mode(), self.lora.step(owners, []):
            for parts, stack in self.layers.items():
                y = torch.ones(len(owners), 3 * len(parts))
                found = stack.add_to(y, X[: len(owners)])
                for row, owner in enumerate(owners):
                    wanted = torch.cat([update(owner, p)[row] for _, p in parts])
                    torch.testing.assert_close(found[row], 1 + wanted)

    @rule(steps=st.integers(1, LINGER + 2))
    def idle(self, steps: int) -> None:
        for _ in range(steps):
            self.lora.load([])

    @rule(name=st.sampled_from(NAMES))
    def forget(self, name: str) -> None:
        self.lora.forget(name)
        assert all(name not in stack.owners for stack in self.layers.values())

    @rule(name=st.sampled_from(NAMES), also=st.sampled_from(NAMES))
    def fail(self, name: str, also: str) -> None:
        self.lora.forget(name)
        with suppress(MixFailed):
            self.lora.load([CAST[also], BROKEN[name]])
            raise AssertionError("it joined")
        assert all(name not in stack.owners for stack in self.layers.values())

    @rule(name=st.sampled_from(NAMES))
    def lack_memory(self, name: str) -> None:
        """The device fails while one leaves: all do, and come when they are used."""
        last = list(self.layers.values())[-1]

        def keep(stack: LoraStack, keys: Set[str]) -> None:
            if keys and stack is last:
                raise MemoryError
            keep_all(stack, keys)

        keep_all = LoraStack.keep
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(LoraStack, "keep", keep)
            with suppress(MemoryError):
                self.lora.forget(name)

    @invariant()
    def every_row_is_a_members(self) -> None:
        for stack in self.layers.values():
            assert set(stack.owners) <= self.lora.loaded


class NativeBooks(Books):
    def native(self) -> Segmented | None:
        found = segmented()
        assert found is not None
        return found


TestBooks = Books.TestCase
TestNativeBooks = needs_compiler(NativeBooks.TestCase)
for books in (TestBooks, TestNativeBooks):
    books.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
