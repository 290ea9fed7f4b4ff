"""HostMemory: the generations whose tensors are in memory, and how many may stay.

The least recently used leaves first. Knows no names and no leases.
"""

from collections.abc import Container, Iterator

from hotswap.adapters.generation import Generation


class HostMemory:
    def __init__(self, max_loaded: int | None, max_bytes: int | None) -> None:
        """None is without limit."""
        self._max_loaded = max_loaded
        self._max_bytes = max_bytes
        self._loaded: dict[str, Generation] = {}  # least recently used first
        self.nbytes = 0

    def __contains__(self, key: str | None) -> bool:
        return key in self._loaded

    def __getitem__(self, key: str) -> Generation:
        return self._loaded[key]

    def add(self, generation: Generation) -> bool:
        """Returns whether it was not there."""
        if generation.key in self._loaded:
            return False
        self._loaded[generation.key] = generation
        self.nbytes += generation.nbytes
        return True

    def use(self, key: str) -> Generation:
        """It leaves last from now on."""
        self._loaded[key] = generation = self._loaded.pop(key)
        return generation

    def drop(self, key: str) -> None:
        self.nbytes -= self._loaded.pop(key).nbytes

    @property
    def is_full(self) -> bool:
        """Whether there is more than may stay."""
        return (
            self._max_loaded is not None and len(self._loaded) > self._max_loaded
        ) or (self._max_bytes is not None and self.nbytes > self._max_bytes)

    def excess(self, kept: Container[str | None]) -> Iterator[str]:
        """Who is to leave, one by one, until there is room; each may be dropped, or
        not, before the next is asked for."""
        for key in list(self._loaded):
            if not self.is_full:
                break
            if key not in kept:
                yield key
