"""What a key says of the cache: read strictly, once, where it is set."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import InvalidCommandError
from domain.identity.key_cache import SECONDS_MAX, KeyCache, key_cache_of, read_key_cache


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, None),
        ({"ttl_s": 1}, KeyCache(1)),
        ({"ttl_s": SECONDS_MAX, "max_age_s": 0}, KeyCache(SECONDS_MAX, 0)),
        ({"ttl_s": 60, "max_age_s": None}, KeyCache(60)),
    ],
)
def test_a_wish_is_read(given: dict[str, Any], read: KeyCache | None) -> None:
    """As events carry it; an empty one opts out (rule: contract)."""
    assert key_cache_of(read_key_cache(given)) == read


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"max_age_s": 5}, "cache.ttl_s"),
        ({"ttl_s": 0}, "cache.ttl_s"),
        ({"ttl_s": -1}, "cache.ttl_s"),
        ({"ttl_s": SECONDS_MAX + 1}, "cache.ttl_s"),
        ({"ttl_s": 10**400}, "cache.ttl_s"),
        ({"ttl_s": True}, "cache.ttl_s"),
        ({"ttl_s": "60"}, "cache.ttl_s"),
        ({"ttl_s": 60.5}, "cache.ttl_s"),
        ({"ttl_s": None}, "cache.ttl_s"),
        ({"ttl_s": 60, "max_age_s": -1}, "cache.max_age_s"),
        ({"ttl_s": 60, "max_age_s": []}, "cache.max_age_s"),
        ({"ttl_s": 60, "tll_s": 60}, "'tll_s'"),
        ({"x" * 10_000: 1}, "'" + "x" * 80 + "'"),
    ],
)
def test_what_is_none_is_refused(given: dict[str, Any], named: str) -> None:
    """The member is named, and not repeated without end (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError) as refused:
        read_key_cache(given)
    assert named in str(refused.value)
    assert len(str(refused.value)) < 200


def test_nothing_is_said_by_keys_of_before() -> None:
    """A row without one opts nobody in (rule: contract)."""
    assert key_cache_of(None) is None
