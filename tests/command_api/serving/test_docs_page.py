"""The page at /docs, as a browser without a network would load it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urljoin

import httpx

if TYPE_CHECKING:
    from tests.support.harness import RunningGateway

ANOTHER_HOST = re.compile(r"(?:https?:)?//[a-z0-9]")


def test_the_docs_page_needs_no_other_host(gateway: RunningGateway) -> None:
    """The page names no host, and all that it loads is served here (rule: two commands)."""
    with httpx.Client(base_url=gateway.url) as browser:
        page = browser.get("/docs")
        assert page.status_code == 200
        assert not ANOTHER_HOST.search(page.text)
        assert '"validatorUrl": null' in page.text
        loaded = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
        assert {name.rpartition(".")[2] for name in loaded} == {"js", "css", "png"}
        for name in [*loaded, *re.findall(r"url: '([^']+)'", page.text)]:
            got = browser.get(urljoin("/docs", name))
            assert got.status_code == 200, name
            if name.endswith(".css"):
                assert not re.search(r"url\(['\"]?(?:https?:)?//|@import", got.text)


def test_there_is_no_page_that_loads_from_a_cdn(gateway: RunningGateway) -> None:
    """The framework's other page, whose script lies on a CDN, is off (rule: two commands)."""
    assert httpx.get(f"{gateway.url}/redoc").status_code == 404
