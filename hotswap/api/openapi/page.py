"""Page: the document as JSON, and as a page whose parts come from this server.

Swagger UI reads it; its files are those of the package swagger-ui-bundle.
"""

from functools import lru_cache
from typing import Any

import msgspec
import swagger_ui_bundle
from litestar import Request, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin, SwaggerRenderPlugin
from litestar.static_files import create_static_files_router

from hotswap import __version__
from hotswap.api.openapi.document import described

_FILES = "/schema/ui"


@lru_cache(maxsize=4)
def _described(document: bytes) -> dict[str, Any]:
    return described(msgspec.json.decode(document))


class _Json(JsonRenderPlugin):
    def render(self, request: Request, openapi_schema: dict[str, Any]) -> bytes:
        whole = _described(self.render_json(request, openapi_schema))
        return self.render_json(request, whole)


class _Page(SwaggerRenderPlugin):
    def render(self, request: Request, openapi_schema: dict[str, Any]) -> bytes:
        whole = _described(self.render_json(request, openapi_schema))
        return super().render(request, whole)


def config() -> OpenAPIConfig:
    page = _Page(
        js_url=f"{_FILES}/swagger-ui-bundle.js",
        css_url=f"{_FILES}/swagger-ui.css",
        standalone_preset_js_url=f"{_FILES}/swagger-ui-standalone-preset.js",
        path="/swagger",
        favicon=f"<link rel='icon' href='{_FILES}/favicon-32x32.png'>",
    )
    return OpenAPIConfig(
        title="hotswap",
        version=__version__,
        use_handler_docstrings=True,
        render_plugins=[page, _Json()],
    )


def files() -> Router:
    """What the page loads."""
    return create_static_files_router(
        path=_FILES,
        directories=[swagger_ui_bundle.swagger_ui_path],
        include_in_schema=False,
    )
