"""Proxy: how Ray's is told of the front, by a variable of its environment."""

from starlette.middleware import Middleware

from hotswap.ray.front import Front

FRONT = "hotswap.ray.proxy:middlewares"
FRONT_KEY = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"


def middlewares() -> list[Middleware]:
    """Around Ray's own application, which the first is put around last."""
    return [Middleware(Front)]
