"""Room: how many adapters there may be, and the hooks' consent to one more."""

from contextlib import suppress

from hotswap.adapters.origin import Origin
from hotswap.errors import BadRequest, HotswapError, NoRoom
from hotswap.library.entries import Entries
from hotswap.library.hooks import Hooks
from hotswap.library.transaction import Transaction


class Room:
    def __init__(
        self,
        entries: Entries,
        hooks: Hooks,
        *,
        max_adapters: int,
        max_pinned: int | None,
    ) -> None:
        self._entries = entries
        self._hooks = hooks
        self._max_adapters = max_adapters
        self._max_pinned = max_pinned

    def check(self, name: str, origin: Origin) -> None:
        """Raises NoRoom, or BadRequest for what contradicts itself."""
        others = self._entries.others(name)
        if len(others) >= self._max_adapters:
            raise NoRoom(f"{self._max_adapters} adapters are registered already")
        if not origin.pin:
            return
        if not origin.preload:
            raise BadRequest("Can not set preload to false and pin to true", "pin")
        pinned = sum(other.origin.pin for other in others)
        if self._max_pinned is not None and pinned >= self._max_pinned:
            raise NoRoom(f"{pinned} adapters are pinned, as many as memory may hold")

    def agreed(self, name: str, origin: Origin) -> Transaction[str | None]:
        """What a hook says of a new adapter. It may take its time, in which others take
        the room: then it is told that the adapter goes again."""
        said: str | None = yield self._hooks.register(name, origin)
        try:
            self.check(name, origin)
        except NoRoom:
            with suppress(HotswapError):  # it would not let it go, and has to
                yield self._hooks.unregister(name, origin)
            raise
        return said
