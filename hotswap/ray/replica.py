"""Replica: the server's application in a replica of Ray Serve."""

import asyncio
import gc
import time
from contextlib import ExitStack
from typing import Any

from litestar import Litestar
from ray import serve

from hotswap import start
from hotswap.app_choice import chosen_app
from hotswap.config import Config
from hotswap.logs.setup import set_up
from hotswap.ray.front import REPLICA, App, Message, Receive, Send
from hotswap.ray.publishing import Publisher


@serve.ingress()
class Replica:
    """Ray calls these methods, and ends a replica that is not healthy. It drains one by
    waiting for its requests; then the application's own end."""

    def __init__(self, settings: Config) -> None:
        """Raises StartFailed."""
        set_up(settings.log.format, settings.log.level)
        self._held = ExitStack()
        self._held.enter_context(start.checked(settings))
        start.model_folder(settings)
        self._application: Litestar = chosen_app(settings).build(settings)
        server = self._application.state.server
        self._publisher = Publisher(server, server.executor["max_batch"])
        gc.collect()
        gc.freeze()

    def __serve_build_asgi_app__(self) -> "Signed":
        name = serve.get_replica_context().replica_id.unique_id
        return Signed(self._application, name)

    def check_health(self) -> None:
        if ended := self._application.state.ended():
            raise RuntimeError(f"a bug has ended threads={ended}")

    async def record_routing_stats(self) -> dict[str, Any]:
        return await asyncio.to_thread(self._publisher.stats, time.time())

    def record_autoscaling_stats(self) -> dict[str, float]:
        return self._publisher.load()


class Signed:
    """Answers say which replica gave them."""

    def __init__(self, app: Any, replica: str) -> None:
        self._app: App = app
        self._name = replica.encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        async def signed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], (REPLICA, self._name)]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, signed)
