"""What every reply says to browsers and caches, so that none of them does more with it than it is.

Source: OWASP's "REST Security Cheat Sheet" and "HTTP Security Response Headers Cheat Sheet";
RFC 6797 for HSTS, RFC 9111 (5.2.2.5) for `no-store`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from edge.asgi import NO_STORE, header_of

if TYPE_CHECKING:
    from edge.asgi import Header, Scope

HSTS_S = 31_536_000
"""How long a browser that came by https comes by nothing else: a year."""
ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
"""On every reply, those of the server itself among them."""
NO_PAGE: Header = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
"""On every reply that is no page: opened as one, it loads nothing and stands in no frame."""

EXPOSED = [
    "idempotent-replayed",
    "request-id",
    "retry-after",
    "x-gatewayz-cache",
    "x-gatewayz-call-id",
    "x-gatewayz-estimated",
    "x-gatewayz-limits",
    "x-gatewayz-provider",
    *(
        f"x-ratelimit-{what}-{unit}"
        for what in ("limit", "remaining", "reset")
        for unit in ("requests", "tokens")
    ),
    "x-request-id",
]
"""Headers of replies that a page may read."""


def server_headers(public_url: str | None) -> list[Header]:
    """What the server adds to each reply; HSTS only where people come by https.

    Raises ValueError for a URL that cannot be one.
    """
    if urlsplit(public_url or "").scheme != "https":
        return [*ALWAYS]
    return [*ALWAYS, (b"strict-transport-security", b"max-age=%d" % HSTS_S)]


def more_headers(scope: Scope, headers: list[Header]) -> list[Header]:
    """What a reply of the framework lacks yet.

    What was answered to somebody with a key, or to what a body said, is nobody else's: it is kept
    nowhere, unless the route says itself how.
    """
    names = {name for name, _ in headers}
    more = [] if NO_PAGE[0] in names else [NO_PAGE]
    if names.isdisjoint({NO_STORE[0], b"etag"}) and (
        scope["method"] not in {"GET", "HEAD"} or header_of(scope, b"authorization")
    ):
        more.append(NO_STORE)
    return more
