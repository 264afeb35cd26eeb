"""What replies say to browsers and caches."""

from __future__ import annotations

import pytest

from edge.asgi import NO_STORE
from edge.security import HSTS_S, NO_PAGE, more_headers, server_headers

KEYED = [(b"authorization", b"Bearer gw_live_x")]
JSON = (b"content-type", b"application/json")
OWN = (b"content-security-policy", b"default-src 'self'")
HSTS = (b"strict-transport-security", b"max-age=%d" % HSTS_S)


@pytest.mark.parametrize(
    ("method", "asked", "told", "more"),
    [
        ("GET", [], [JSON], [NO_PAGE]),
        ("GET", KEYED, [JSON], [NO_PAGE, NO_STORE]),
        ("POST", [], [JSON], [NO_PAGE, NO_STORE]),
        ("DELETE", KEYED, [JSON], [NO_PAGE, NO_STORE]),
        ("GET", KEYED, [JSON, (b"etag", b'"a"')], [NO_PAGE]),
        ("GET", KEYED, [(b"cache-control", b"no-cache")], [NO_PAGE]),
        ("POST", [], [OWN], [NO_STORE]),
        ("HEAD", [], [OWN], []),
    ],
)
def test_a_reply_says_what_its_route_does_not(
    method: str,
    asked: list[tuple[bytes, bytes]],
    told: list[tuple[bytes, bytes]],
    more: list[tuple[bytes, bytes]],
) -> None:
    """Nothing twice; nothing of a caller's is kept by a cache (rule: access)."""
    assert more_headers({"method": method, "headers": asked}, told) == more


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://gateway.example.com", True),
        ("HTTPS://gateway.example.com/x", True),
        ("http://gateway.example.com", False),
        ("https.example.com", False),
        ("", False),
        (None, False),
    ],
)
def test_only_who_comes_by_https_is_kept_to_it(url: str | None, told: bool) -> None:
    """On http the header would mean nothing, or promise what is not there (rule: access)."""
    assert (HSTS in server_headers(url)) is told
