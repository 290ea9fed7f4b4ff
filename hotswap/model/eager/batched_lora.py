"""BatchedLora: the unmerged path - many adapters in one step, each row with its own.

Golden's layers compute for all rows at once, and each layer's `LoraStack` adds what the
rows' own adapters make of them. A layer that no adapter in use targets is skipped.

The stacks are kept between steps: an adapter that comes is appended, those that were
not used for a while leave together.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import AbstractContextManager

import torch

from hotswap.adapters.generation import Generation
from hotswap.errors import MixFailed
from hotswap.model.eager.lora_mapping import LoraMapping
from hotswap.model.eager.lora_stack import LoraStack
from hotswap.model.machine.kernels import Kernels
from hotswap.model.machine.segmented import Segmented

# Mixed steps without a row after which an adapter counts as idle. Idle ones leave when
# they are a third of the stack, so moving the others is paid for by what is saved.
LINGER = 8
# Packing pays for itself after about so many steps, so a stack is packed when it has
# not changed for as long (ski rental, Karlin 1988); not all layers in the same step.
STEADY = 12
SPREAD = 8


class BatchedLora:
    """Shared by all layers of a model; owned by the engine thread."""

    def __init__(
        self,
        dtype: torch.dtype,
        device: torch.device,
        kernels: Kernels,
        native: Segmented | None = None,
        factors: torch.dtype | None = None,
    ) -> None:
        """`native`: for float32 on the CPU, what computes in the place of `kernels`,
        with `factors` of that type, or of bfloat16 where it is exact."""
        self._kernels, self._native = kernels, native
        self._factors = factors if native is not None else dtype
        self._mapping = LoraMapping(dtype, device)
        self._stacks: list[LoraStack] = []
        # Who is in the stacks, by key: the last step that had a row of it. There is no
        # other book: a stack notes the owner's key with each of its rows.
        self._last_used: dict[str, int] = {}
        self._steps = 0

    def stack(self, parts: Mapping[str, slice], *, is_head: bool = False) -> LoraStack:
        """A new layer's stack. `parts`: which rows of its output each module makes;
        `is_head`: it sees the rows that want logits."""
        steady = STEADY + len(self._stacks) % SPREAD
        made = LoraStack(
            self._mapping,
            self._kernels,
            parts,
            is_head=is_head,
            steady=steady,
            native=self._native,
            dtype=self._factors,
        )
        self._stacks.append(made)
        return made

    @property
    def nbytes(self) -> int:
        """Of all stacks, as they are and as packed."""
        return sum(stack.nbytes for stack in self._stacks)

    @property
    def loaded(self) -> Set[str]:
        """Keys of those that are in the stacks."""
        return self._last_used.keys()

    def load(self, wanted: Iterable[Generation]) -> None:
        """Take in the generations of the next step. Raises MixFailed for one that
        cannot be, with all others as they were, and whatever the device raises."""
        self._steps += 1
        newcomers = {}
        for generation in wanted:
            if generation.key in self._last_used:
                self._last_used[generation.key] = self._steps
            else:
                newcomers[generation.key] = generation
        oldest = self._steps - LINGER
        idle = {key for key, used in self._last_used.items() if used < oldest}
        if idle and 3 * len(idle) >= len(self._last_used) + len(newcomers):
            self._keep(self._last_used.keys() - idle)
        for generation in newcomers.values():
            self._append(generation)

    def step(
        self,
        tokens: Sequence[Generation | None],
        logits: Sequence[Generation | None],
    ) -> AbstractContextManager[None]:
        """Within it, run one forward pass in which each token, and each row that wants
        logits, has the generation given here, which is loaded."""
        owners = [[g.key if g else "" for g in rows] for rows in (tokens, logits)]
        assert self.loaded >= {*owners[0], *owners[1]} - {""}, "one is not loaded"
        return self._mapping.over(*owners)

    def forget(self, key: str) -> None:
        if key in self._last_used:
            self._keep(self._last_used.keys() - {key})

    def _append(self, generation: Generation) -> None:
        if not generation.can_mix:
            raise MixFailed(generation.key, generation.note or "it is merged only")
        try:
            for stack in self._stacks:
                stack.append(generation)
        except BaseException:
            # Some layers have it and some have not: it must be in none.
            for stack in self._stacks:
                stack.drop(generation.key)
            raise
        self._last_used[generation.key] = self._steps

    def _keep(self, keys: Set[str]) -> None:
        try:
            for stack in self._stacks:
                stack.keep(keys)
            self._last_used = {k: n for k, n in self._last_used.items() if k in keys}
        except BaseException:
            # To drop all takes no memory. They come back when they are asked for.
            for stack in self._stacks:
                stack.keep(frozenset())
            self._last_used = {}
            raise
