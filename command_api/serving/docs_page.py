"""The page at /docs: Swagger UI, served from an installed package instead of a CDN.

A gateway often stands where browsers reach nothing else, and a page that loads scripts of somebody
else's host gives that host every key that is typed into it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import TYPE_CHECKING

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.staticfiles import StaticFiles

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import HTMLResponse

FILES = "docs/files"
"""Relative to the page, so that it works below a proxy's prefix too."""
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_POLICY = (
    "default-src 'none'; script-src 'self'{scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""Swagger UI styles its elements one by one, and draws its signs from data URLs."""


def policy_of(page: bytes) -> str:
    """What a browser may load for the page: our own files, and the scripts that stand in it."""
    found = (hashlib.sha256(each).digest() for each in _INLINE.findall(page))
    named = "".join(f" 'sha256-{base64.b64encode(each).decode()}'" for each in found)
    return _POLICY.format(scripts=named)


def add_docs_page(app: FastAPI) -> None:
    """Serve the page and its files. Nothing on it names another host."""
    # The package is a folder of Swagger UI's release; its own code is not used.
    files = StaticFiles(packages=[("fastapi_swagger", "resources")])
    app.mount(f"/{FILES}", files, name="docs files")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url="openapi.json",
            title=f"{app.title} {app.version}",
            swagger_js_url=f"{FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{FILES}/swagger-ui.css",
            swagger_favicon_url=f"{FILES}/favicon-32x32.png",
            # Without this the page sends the document's address to validator.swagger.io.
            swagger_ui_parameters={"validatorUrl": None},
        )
        page.headers["content-security-policy"] = policy_of(bytes(page.body))
        return page
