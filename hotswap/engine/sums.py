"""Sums: what a sum of adapters lacks before a request can lease it, and who makes it.

A sum is made of the generations that its parts stand for when it is asked for, beside
the engine and one at a time, in the order in which they were asked for. If a part is
replaced, the next request has another one made.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hotswap.adapters.composition import Composition, is_written_as_sum, parse
from hotswap.adapters.generation import Generation
from hotswap.adapters.origin import Origin, of_sum
from hotswap.adapters.store import Store
from hotswap.adapters.sum_parts import Part, most_bytes
from hotswap.errors import BadSum


@dataclass(frozen=True, slots=True)
class SumOrder:
    """The generation `key`, of these parts, is to be made for `name`."""

    name: str
    key: str
    origin: Origin
    parts: tuple[Part, ...]


class Sums:
    """Owned by the engine thread."""

    def __init__(self, store: Store, compose: Callable[[SumOrder], None]) -> None:
        """`compose`: has one made; returns at once, and a message brings it."""
        self._store = store
        self._compose = compose
        self._orders: dict[str, SumOrder] = {}  # by name; the first is under way

    def origin(self, name: str) -> Origin | None:
        """Of what `name` is now; None if it is nothing."""
        known = self._store.origin(name)
        return of_sum(name) if known is None and is_written_as_sum(name) else known

    def composition(self, name: str) -> Composition | None:
        """The sum that `name` is; None for any other adapter."""
        origin = self.origin(name)
        written = origin.composition if origin is not None else None
        return parse(written) if written is not None else None

    def unread(
        self, name: str, composition: Composition, held: dict[str, Generation]
    ) -> list[str]:
        """Parts that have to be read before `name` can be made: they are neither in
        memory nor in `held`, which gets the others. None of them if it is made.

        Raises UnknownAdapter, StillLoading and BadSum, of a part.
        """
        if self._is_made(name, composition):
            return []
        unread = []
        for part, _ in composition.parts:
            key = self._store.standing(part)
            if (found := self._store.loaded(key)) is not None:
                held[part] = found
            elif part not in held or held[part].key != key:
                unread.append(part)
        return unread

    def make(
        self, name: str, composition: Composition, parts: Mapping[str, Generation]
    ) -> bool:
        """Whether it is made. If not it is under way now, and a message brings it.

        Raises Overloaded and NoRoom.
        """
        if self._is_made(name, composition):
            return True
        if name in self._orders:  # perhaps of older parts: then it is asked for again
            return False
        origin = self.origin(name)
        assert origin is not None
        order = SumOrder(
            name=name,
            key=composition.key({part: each.key for part, each in parts.items()}),
            origin=origin,
            parts=tuple(Part(p, f, parts[p]) for p, f in composition.parts),
        )
        every = [*self._orders.values(), order]
        self._store.check_room([most_bytes(each.parts) for each in every])
        self._orders[name] = order
        if len(every) == 1:
            self._compose(order)
        return False

    def _is_made(self, name: str, composition: Composition) -> bool:
        """Whether `name` stands for the sum of what its parts stand for now."""
        keys: dict[str, str] = {}
        for part, _ in composition.parts:
            key = self._store.standing(part)
            if self.composition(part) is not None:
                raise BadSum(f"`{part}` is a sum itself now, and no part of another")
            if key is None:
                return False
            keys[part] = key
        key = composition.key(keys)
        return self._store.stands_for(name, key) and self._store.loaded(key) is not None

    def over(self, order: SumOrder, is_wanted: Callable[[str], bool]) -> None:
        """It was made, or cannot be: the next that somebody still waits for."""
        del self._orders[order.name]
        for name, following in list(self._orders.items()):
            if is_wanted(name):
                self._compose(following)
                return
            del self._orders[name]
