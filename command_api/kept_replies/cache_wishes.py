"""What is asked of the response cache: by `x-gatewayz-cache`, by `Cache-Control` (RFC 9111), and
by the key, whose word counts where the request has none.

`Cache-Control` alone opts nobody in, for clients and proxies send it unasked; but for
`only-if-cached`, which would else make a call that its caller did not want.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from domain.identity.key_cache import Semantic, threshold_parts
from edge.errors import ApiError, bad_request

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from domain.identity.key_cache import KeyCache

HEADER_BYTES_MAX = 200
"""Longest header that is read."""
ASKED_TTL_S = 300.0
"""How long an answer is kept where nobody says how long, seconds."""
AGE_DIGITS_MAX = 19
"""A `max-age` of so many digits is any age; one of more is a mistake."""
ONLY = b"only-if-cached"
ADDED: Mapping[bytes, dict[str, Any]] = {
    b"on": {},
    b"exact": {"semantic": None},
    b"shared": {"shared": True},
    b"private": {"shared": False},
    b"refresh": {"reads": False},
}
"""What a word of `x-gatewayz-cache` alone adds."""
_SPLIT = re.compile(rb"[,;]")


class CacheWish(NamedTuple):
    """What a call may do with the cache: read of it, keep its answer there; times in seconds."""

    reads: bool = True
    keeps: bool = True
    ttl_s: float = 0.0
    max_age_s: int | None = None
    """How old an answer may be; None for any that is still kept."""
    only: bool = False
    """Whether a call of its own is not wanted."""
    semantic: Semantic | None = None
    """How answers to nearly the same text are taken; None for none."""
    shared: bool = False
    """Whether its answer may be given to other accounts, and theirs to it."""


BYPASS = CacheWish(reads=False, keeps=False)


def read_wish(
    asked: bytes, control: bytes, *, default_s: float, ttl_max_s: int, key: KeyCache | None = None
) -> CacheWish | None:
    """The wish of two headers, and of the key for what they do not say; None for a call that
    nobody opted in. Raises ApiError 400.

    `default_s` is how long the operator keeps every answer, 0 where he keeps none unasked;
    `ttl_max_s` is the longest that a caller or a key may ask for.
    """
    opted = bool(key or default_s)
    words = _words(asked, "x-gatewayz-cache")
    control_words = _words(control, "Cache-Control") if words or opted or ONLY in control else []
    if not (words or opted or ONLY in control_words):
        return None
    wish = CacheWish(ttl_s=default_s or min(ASKED_TTL_S, ttl_max_s))
    if key is not None:
        ttl_s = min(float(key.ttl_s), max(float(ttl_max_s), default_s))
        wish = CacheWish(
            ttl_s=ttl_s, max_age_s=key.max_age_s, semantic=key.semantic, shared=key.shared
        )
    for word in words:
        wish = _asked(wish, word, ttl_max_s)
    for word in control_words:
        wish = _controlled(wish, word)
    if wish.max_age_s == 0:
        # Only an answer of this very moment would do, which is one of its own (RFC 9111, 4.2.4).
        wish = wish._replace(reads=False)
    return wish if ttl_max_s or default_s else BYPASS


def _words(header: bytes, name: str) -> list[bytes]:
    if len(header) > HEADER_BYTES_MAX:
        message = f"{name} is longer than {HEADER_BYTES_MAX} bytes."
        raise bad_request("invalid_cache_wish", message)
    return [word for each in _SPLIT.split(header.lower()) if (word := each.strip())]


def _asked(wish: CacheWish, word: bytes, ttl_max_s: int) -> CacheWish:
    if word == b"off":
        return BYPASS
    if word in ADDED:
        return wish._replace(**ADDED[word])
    name, equals, value = word.partition(b"=")
    if name == b"semantic":
        return wish._replace(semantic=_semantic(wish.semantic or Semantic(), equals, value))
    if name != b"ttl":
        message = (
            "x-gatewayz-cache is `on`, `off`, `refresh`, `ttl=N`, N in seconds, `semantic`, "
            "`semantic=0.95`, `exact`, `shared` or `private`."
        )
        raise bad_request("invalid_cache_wish", message)
    if not value.isdigit() or len(value) > AGE_DIGITS_MAX or not 1 <= int(value) <= ttl_max_s:
        message = f"The ttl of x-gatewayz-cache is a whole number of seconds, 1 to {ttl_max_s}."
        raise bad_request("invalid_cache_wish", message)
    return wish._replace(ttl_s=float(int(value)))


def _semantic(known: Semantic, equals: bytes, value: bytes) -> Semantic:
    """The key's, or the operator's, with the threshold that a request names."""
    if not equals:
        return known
    least = threshold_parts(value.decode("latin-1"))
    if least is None:
        message = "semantic of x-gatewayz-cache is 0.5 to 1 with at most four places, as 0.95."
        raise bad_request("invalid_cache_wish", message)
    return replace(known, threshold=least)


def _controlled(wish: CacheWish, word: bytes) -> CacheWish:
    """What a directive adds; those that nobody knows are passed over (RFC 9111, 5.2.3)."""
    if word == b"no-store":
        return BYPASS._replace(only=wish.only)
    if word == b"no-cache":
        return wish._replace(reads=False)
    if word == ONLY:
        return wish._replace(only=True)
    name, _, value = word.partition(b"=")
    if name != b"max-age":
        return wish
    if not value.isdigit() or len(value) > AGE_DIGITS_MAX:
        message = "The max-age of Cache-Control is a whole number of seconds of at least 0."
        raise bad_request("invalid_cache_wish", message)
    return wish._replace(max_age_s=int(value))


def not_cached() -> ApiError:
    """A 504, as RFC 9111 has it for `only-if-cached`."""
    message = "No answer is cached, and `only-if-cached` asks for no call. Ask without it."
    return ApiError(504, "not_cached", message)
