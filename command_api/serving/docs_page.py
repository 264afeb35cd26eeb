"""The page at /docs: Swagger UI, served from an installed package instead of a CDN.

A gateway often stands where browsers reach nothing else, and a page that loads scripts of somebody
else's host gives that host every key that is typed into it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI, Response

FILES = "docs/files"
"""Relative to the page, so that it works below a proxy's prefix too."""


def add_docs_page(app: FastAPI) -> None:
    """Serve the page and its files. Nothing on it names another host."""
    # The package is a folder of Swagger UI's release; its own code is not used.
    files = StaticFiles(packages=[("fastapi_swagger", "resources")])
    app.mount(f"/{FILES}", files, name="docs files")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=f"{app.title} {app.version}",
            swagger_js_url=f"{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{FILES}/favicon-32x32.png",
            # Without this the page sends the document's address to validator.swagger.io.
            swagger_ui_parameters={"validatorUrl": None},
        )
