"""Router: Ray Serve's request router with the rule of `scheduler.routing`.

Each proxy has one. It hears what the replicas publish with Ray's own updates of them,
and what a request names from `front`. What it cannot tell it leaves to Ray.
"""

import logging
import pickle
import time
from collections.abc import Mapping, Sequence, Set
from typing import Any

from ray.serve.request_router import (
    PendingRequest,
    ReplicaID,
    RequestRouter,
    RunningReplica,
)

from hotswap.ray.front import NAMED, REPLICA
from hotswap.ray.naming import named, resolved
from hotswap.ray.proxy import FRONT, FRONT_KEY
from hotswap.ray.publishing import report
from scheduler.routing import Router

log = logging.getLogger(__name__)

Ranks = list[list[RunningReplica]]


class AdapterRouter(RequestRouter):
    def initialize_state(self, **_: Any) -> None:
        self._rule = Router()
        self._heard: dict[str, Mapping[str, Any]] = {}  # last, by replica
        self._under_way: dict[str, str] = {}  # by the id of a request: its replica
        self._by_name: dict[str, RunningReplica] = {}
        # As the last report has them: all replicas have the same.
        self._bases: Sequence[str] = ()
        self._stands_for: Mapping[str, str] = {}
        self._mixed: Set[str] = frozenset()
        self._has_front = True

    def update_replicas(self, replicas: list[RunningReplica]) -> None:
        """They came, went, or have published something."""
        self._by_name = {name_of(each): each for each in replicas}
        for name in self._heard.keys() - self._by_name.keys():
            self._forget(name)
        now_s = time.time()
        for name, each in self._by_name.items():
            stats = each.routing_stats
            if stats and stats is not self._heard.get(name):
                self._heard[name] = stats
                self._bases, self._stands_for = stats["bases"], stats["stands_for"]
                self._mixed = frozenset(stats["mixed"])
                self._rule.report(report(name, stats, now_s))
        super().update_replicas(replicas)

    def on_replica_actor_died(self, replica_id: ReplicaID) -> None:
        self._by_name.pop(replica_id.unique_id, None)
        self._forget(replica_id.unique_id)
        super().on_replica_actor_died(replica_id)

    def on_request_completed(
        self, replica_id: ReplicaID, internal_request_id: str
    ) -> None:
        """On any thread."""
        self._event_loop.call_soon_threadsafe(self._ended, internal_request_id)

    async def choose_replicas(
        self,
        candidate_replicas: list[RunningReplica],
        pending_request: PendingRequest | None = None,
    ) -> Ranks:
        """The one, and whoever else there is in case it cannot be reached."""
        scope = scope_of(pending_request)
        adapter = resolved(self._named(scope), self._bases, self._stands_for)
        name = _asked(scope)
        if name not in self._by_name:
            name = (
                self._rule.choose(adapter, can_merge=adapter not in self._mixed) or ""
            )
        chosen = self._by_name.get(name)
        if chosen is None:
            return [candidate_replicas]
        if pending_request is not None:
            self._sent(pending_request.metadata.internal_request_id, adapter, name)
        return [[chosen], [each for each in candidate_replicas if each is not chosen]]

    def _sent(self, request: str, adapter: str, replica: str) -> None:
        """Counted at once: of many that come together none has been accepted yet."""
        self._ended(request)  # one that is tried again
        self._under_way[request] = replica
        self._rule.sent(adapter, replica, time.time())

    def _ended(self, request: str) -> None:
        if (replica := self._under_way.pop(request, None)) is not None:
            self._rule.finished(replica, time.time())

    def _named(self, scope: Mapping[str, Any]) -> str:
        if NAMED in scope or not scope:
            return str(scope.get(NAMED, ""))
        if self._has_front:
            self._has_front = False
            log.warning(
                "the proxy reads no bodies: adapters that are named there go to any "
                "replica. Start Ray with %s=%s",
                *(FRONT_KEY, FRONT),
            )
        return named(scope, b"")

    def _forget(self, name: str) -> None:
        self._heard.pop(name, None)
        self._rule.gone(name)


def name_of(replica: RunningReplica) -> str:
    return replica.replica_id.unique_id


def scope_of(request: PendingRequest | None) -> Mapping[str, Any]:
    """Of an HTTP request through a proxy; Ray hands it on pickled. Else nothing."""
    if request is None or not request.args or not isinstance(request.args[0], bytes):
        return {}
    scope: Mapping[str, Any] = pickle.loads(request.args[0]).asgi_scope
    return scope


def _asked(scope: Mapping[str, Any]) -> str:
    """The replica that a request names itself."""
    return dict(scope.get("headers", ())).get(REPLICA, b"").decode("latin-1")
