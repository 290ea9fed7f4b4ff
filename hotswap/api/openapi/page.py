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
def _described(document: bytes, has_keys: bool) -> dict[str, Any]:
    return described(msgspec.json.decode(document), has_keys=has_keys)


class _Json(JsonRenderPlugin):
    def __init__(self, *, has_keys: bool) -> None:
        super().__init__()
        self._has_keys = has_keys

    def render(self, request: Request, openapi_schema: dict[str, Any]) -> bytes:
        document = self.render_json(request, openapi_schema)
        return self.render_json(request, _described(document, self._has_keys))


class _Page(SwaggerRenderPlugin):
    def __init__(self, *, has_keys: bool, **files: Any) -> None:
        super().__init__(**files)
        self._has_keys = has_keys

    def render(self, request: Request, openapi_schema: dict[str, Any]) -> bytes:
        document = self.render_json(request, openapi_schema)
        return super().render(request, _described(document, self._has_keys))


def config(*, has_keys: bool) -> OpenAPIConfig:
    """`has_keys`: the server asks for them, and the document says for which routes."""
    page = _Page(
        has_keys=has_keys,
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
        render_plugins=[page, _Json(has_keys=has_keys)],
    )


def files() -> Router:
    """What the page loads."""
    return create_static_files_router(
        path=_FILES,
        directories=[swagger_ui_bundle.swagger_ui_path],
        include_in_schema=False,
    )
