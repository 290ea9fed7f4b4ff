"""AdapterChanges: what the library tells of adapters. They come, change and go here."""

import logging
from collections.abc import Callable

from hotswap.adapters.store import Store
from hotswap.engine.awaited import Awaited, Waiting
from hotswap.engine.batch import Batch
from hotswap.engine.messages import Adopt, Amend, Change, Composed, Loading, Refuse
from hotswap.engine.sums import Sums
from hotswap.errors import HotswapError, StillLoading

log = logging.getLogger(__name__)


class AdapterChanges:
    """Owned by the engine thread."""

    def __init__(
        self,
        store: Store,
        batch: Batch,
        sums: Sums,
        awaited: Awaited,
        *,
        submit: Callable[[Waiting], None],
        refuse: Callable[[Waiting, HotswapError], None],
    ) -> None:
        """`submit`: ask in again who waited; `refuse`: tell them why not."""
        self._store = store
        self._batch = batch
        self._sums = sums
        self._awaited = awaited
        self._submit = submit
        self._tell = refuse

    def handle(self, message: Change) -> None:
        name = message.name
        match message:
            case Adopt(_, generation, origin):
                key = generation.key if generation else None
                log.info("adapter found name=%r generation=%s", name, key)
                dropped = self._store.adopt(name, generation, origin)
                self._batch.pin(self._store.pinned)
                self.take_up(name)
                self._batch.forget(dropped)
            case Amend(_, origin):
                self._batch.forget(self._store.amend(name, origin))
                self._batch.pin(self._store.pinned)
            case Loading(_, origin):
                self._store.expect(name, origin)
            case Refuse():
                self._refuse(message)
            case Composed():
                self._composed(message)
            case _:
                self._batch.forget(self._store.retire(name))
                log.info("adapter retired name=%r", name)
                self.take_up(name)

    def take_up(self, name: str) -> None:
        """Those who waited for `name` are asked in again."""
        for waiting in self._awaited.take(name):
            self._submit(waiting)

    def _refuse(self, message: Refuse) -> None:
        name, reason = message.name, message.reason
        is_news = message.is_readable or self._store.refuse(
            name, reason, message.origin, is_passing=message.is_passing
        )
        if is_news:
            log.warning("adapter refused name=%r reason=%s", name, reason)
        if message.is_passing and self._store.is_on_disk(name):
            for waiting in self._awaited.take(name):
                self._tell(waiting, StillLoading(name, reason))
        else:
            self.take_up(name)

    def _composed(self, message: Composed) -> None:
        order, name, made = message.order, message.name, message.made
        # First: who is taken up may ask for another one, if a part was replaced.
        self._sums.over(order, self._awaited.is_wanted)
        if isinstance(made, HotswapError):
            log.warning("sum refused name=%r reason=%s", name, made)
            for waiting in self._awaited.take(name):
                self._tell(waiting, made)
        elif self._sums.origin(name) == order.origin:  # as when it was asked for
            log.info("sum made name=%r generation=%s", name, made.key)
            dropped = self._store.adopt(name, made, order.origin)
            self.take_up(name)
            self._batch.forget(dropped)
        else:
            self.take_up(name)
