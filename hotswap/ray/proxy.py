"""Proxy: what RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH has to name."""

from starlette.middleware import Middleware

from hotswap.ray.front import Front


def middlewares() -> list[Middleware]:
    """Around Ray's own application, which the first is put around last."""
    return [Middleware(Front)]
