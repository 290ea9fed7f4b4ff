"""Deploying: `hotswap deploy`, on a Ray of its own or on a cluster that runs."""

import logging
import signal
import threading

import ray
from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.exceptions import RayServeException

from hotswap import start
from hotswap.config import Config
from hotswap.errors import StartFailed
from hotswap.ray.deployment import NAME, application, shared, tell_proxies

log = logging.getLogger(__name__)

_NAMESPACE = "serve"
_STORE_BYTES = 256 * 2**20  # nothing large goes through Ray's object store


def run(settings: Config) -> int:
    """On a Ray of its own until a signal ends it; to a cluster it is given and left
    there. The exit status. Raises StartFailed."""
    settings = shared(settings)
    with start.ready(settings):
        pass  # the proxy binds the port, each replica looks at its own machine
    tell_proxies()
    deploy = settings.deploy
    try:
        if deploy.address:
            ray.init(deploy.address, namespace=_NAMESPACE)
        else:
            ray.init(
                "local",
                namespace=_NAMESPACE,
                object_store_memory=_STORE_BYTES,
                include_dashboard=False,
            )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise StartFailed(f"deploy.address {deploy.address}: {error}") from None
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    try:
        serve.start(ProxyLocation.EveryNode, http_options(settings))
        serve.run(application(settings), name=NAME)
        log.info("ready url=%s replicas=%d", url(settings), deploy.replicas)
        if not deploy.address:
            stopping.wait()
    except RayServeException as error:
        raise StartFailed(f"deploy: {error}") from None
    finally:
        if not deploy.address:
            serve.shutdown()
        ray.shutdown()
    return 0


def http_options(settings: Config) -> HTTPOptions:
    server = settings.server
    return HTTPOptions(
        host=server.host,
        port=server.port,
        keep_alive_timeout_s=int(settings.limits.idle_s),
        ssl_certfile=server.tls_cert or None,
        ssl_keyfile=server.tls_key or None,
    )


def url(settings: Config) -> str:
    scheme = "https" if settings.server.tls_cert else "http"
    return f"{scheme}://{settings.server.host}:{settings.server.port}"
