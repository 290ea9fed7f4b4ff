"""HostMemory: the generations whose tensors are in memory, and how many may stay.

The least recently used leaves first. Sums that nobody named are a cache: they are not
counted with the others, and leave before them. Knows no names and no leases.
"""

from collections.abc import Callable, Container, Iterator, Sequence

from hotswap.adapters.generation import Generation
from hotswap.errors import NoRoom, Overloaded

MOST_SUMS = 32  # in memory that nobody named


class HostMemory:
    def __init__(self, max_loaded: int | None, max_bytes: int | None) -> None:
        """None is without limit."""
        self._max_loaded = max_loaded
        self._max_bytes = max_bytes
        self._loaded: dict[str, Generation] = {}  # least recently used first
        self._sums: dict[str, None] = {}  # those that nobody named, in that order
        self.nbytes = 0

    def __contains__(self, key: str | None) -> bool:
        return key in self._loaded

    def __getitem__(self, key: str) -> Generation:
        return self._loaded[key]

    def add(self, generation: Generation, *, is_nameless: bool = False) -> bool:
        """Returns whether it was not there. `is_nameless`: a sum that nobody named."""
        key = generation.key
        if is_nameless:
            self._sums[key] = None
        else:
            self._sums.pop(key, None)
        if key in self._loaded:
            return False
        self._loaded[key] = generation
        self.nbytes += generation.nbytes
        return True

    def use(self, key: str) -> Generation:
        """It leaves last from now on."""
        self._loaded[key] = generation = self._loaded.pop(key)
        if key in self._sums:
            self._sums[key] = self._sums.pop(key)
        return generation

    def drop(self, key: str) -> None:
        self.nbytes -= self._loaded.pop(key).nbytes
        self._sums.pop(key, None)

    @property
    def is_full(self) -> bool:
        """Whether there is more than may stay."""
        return self._has_many or self._has_many_sums or self._is_large

    @property
    def _has_many(self) -> bool:
        named = len(self._loaded) - len(self._sums)
        return self._max_loaded is not None and named > self._max_loaded

    @property
    def _has_many_sums(self) -> bool:
        return len(self._sums) > MOST_SUMS

    @property
    def _is_large(self) -> bool:
        return self._max_bytes is not None and self.nbytes > self._max_bytes

    def excess(self, kept: Container[str | None]) -> Iterator[str]:
        """Who is to leave, one by one, until there is room; each may be dropped, or
        not, before the next is asked for."""
        for key in list(self._sums):
            if not (self._has_many_sums or self._is_large):
                break
            if key not in kept:
                yield key
        for key in [key for key in self._loaded if key not in self._sums]:
            if not (self._has_many or self._is_large):
                break
            if key not in kept:
                yield key

    def check_room(self, sizes: Sequence[int], is_used: Callable[[str], bool]) -> None:
        """Whether sums of so many bytes may come beside those that cannot leave.

        Raises Overloaded, and NoRoom for one that never may.
        """
        most = self._max_bytes
        if most is not None and max(sizes) > most:
            raise NoRoom(
                f"the sum takes up to {max(sizes)} bytes, more than the {most} that "
                "adapters may take"
            )
        used = [self._loaded[key] for key in self._sums if is_used(key)]
        nbytes = sum(sizes) + sum(generation.nbytes for generation in used)
        if len(used) + len(sizes) > MOST_SUMS or (most is not None and nbytes > most):
            raise Overloaded(
                f"{len(used)} sums of adapters are in use, {len(sizes) - 1} are made: "
                "there is no room for another one now",
                retry_after_s=1.0,
            )
