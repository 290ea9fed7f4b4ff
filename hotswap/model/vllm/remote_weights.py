"""RemoteWeights: the weights of all of vLLM's workers, as the engine swaps them.

Each worker has its part of golden and of the slots; all do the same, and are asked
whether they have.
"""

from collections.abc import Mapping, Set
from dataclasses import replace
from typing import Any

import torch

from hotswap.adapters.generation import Generation
from hotswap.adapters.layout import Layout
from hotswap.errors import MergeFailed
from hotswap.model.vllm.extension import Made, WeightsState
from hotswap.model.vllm.workers import Workers
from scheduler import BASE, Swap


class RemoteWeights:
    """Owned by the engine thread."""

    def __init__(
        self,
        workers: Workers,
        layout: Layout,
        tensors: Set[str],
        *,
        builds_ahead: bool,
    ) -> None:
        """`tensors`: of the checkpoint, that have a place in every worker."""
        self._workers = workers
        self._layout, self._tensors = layout, tensors
        self.builds_ahead = builds_ahead
        self._state = WeightsState(BASE, frozenset({BASE}))
        self._pinned: frozenset[str] = frozenset()
        self._sent: Generation | None = None

    @property
    def resident(self) -> str:
        return self._state.resident

    @property
    def warm(self) -> frozenset[str]:
        return self._state.warm

    @property
    def pinned(self) -> frozenset[str]:
        return self._pinned

    @pinned.setter
    def pinned(self, keys: frozenset[str]) -> None:
        if keys != self._pinned:
            self._workers.call("hotswap_pin", keys)
        self._pinned = keys

    def activate(self, generation: Generation | None) -> Swap | None:
        """As `ExecutorWeights`."""
        wanted = BASE if generation is None else generation.key
        if wanted == self.resident:
            return None
        made = None if generation is None else self._made(generation)
        return self._asked("hotswap_activate", made).swap

    def build_ahead(self, generation: Generation, budget_s: float) -> float | None:
        """As `ExecutorWeights`."""
        made = self._made(generation)
        return self._asked("hotswap_build_ahead", made, budget_s).built_s

    def forget(self, key: str) -> None:
        """Empty the slot that holds it, if any."""
        if self._sent is not None and self._sent.key == key:
            self._sent = None
        self._asked("hotswap_forget", key)

    def checksum(self) -> tuple[str, ...]:
        """Of golden, by worker."""
        return tuple(self._workers.call("hotswap_checksum"))

    def _asked(self, method: str, *args: Any) -> WeightsState:
        """The workers' state after it. Raises MergeFailed if one could not: then golden
        is resident in all."""
        states: list[WeightsState] = self._workers.call(method, *args)
        failed = next((state.failed for state in states if state.failed), "")
        if failed and len({state.resident for state in states}) > 1:
            states = self._workers.call("hotswap_activate", None)
        if len({(state.resident, state.warm) for state in states}) > 1:
            # One has built what another could not: none counts as warm.
            common = frozenset.intersection(*(state.warm for state in states))
            states = [replace(state, warm=common) for state in states]
        self._state = states[0]
        if failed:
            raise MergeFailed(failed)
        return self._state

    def _made(self, generation: Generation) -> Generation:
        """As it is sent: its rewrites made of golden, which the workers have in parts
        only. Raises MergeFailed."""
        if not generation.can_merge:
            raise MergeFailed(f"generation {generation.key}: {generation.note}")
        sent = self._sent
        if sent is None or sent.key != generation.key:
            try:
                with torch.inference_mode():
                    rewrites = {
                        path: Made(rewrite(self._layout.golden[path]), rewrite.rank)
                        for path, rewrite in generation.rewrites.items()
                    }
            except Exception as error:  # whatever PEFT's own merges raise
                key = generation.key
                raise MergeFailed(f"generation {key}: {error}") from error
            self._check(generation, rewrites)
            sent = replace(generation, rewrites=rewrites, tokenizer=None)
            self._sent = sent if self.builds_ahead else None
        return sent

    def _check(self, generation: Generation, rewrites: Mapping[str, Made]) -> None:
        """Raises MergeFailed for what no worker would write, and nobody miss."""
        for path, made in rewrites.items():
            for name in made.parameters:
                if f"{path}.{name}" not in self._tensors:
                    raise MergeFailed(
                        f"generation {generation.key}: vLLM has no place for "
                        f"{path}.{name}"
                    )
