"""What a key says of the cache: read strictly, once, where it is set."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import InvalidCommandError
from domain.identity.key_cache import (
    SECONDS_MAX,
    KeyCache,
    Scope,
    Semantic,
    key_cache_of,
    read_key_cache,
    threshold_parts,
)


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({}, None),
        ({"ttl_s": 1}, KeyCache(1)),
        ({"ttl_s": SECONDS_MAX, "max_age_s": 0}, KeyCache(SECONDS_MAX, 0)),
        ({"ttl_s": 60, "max_age_s": None, "semantic": None}, KeyCache(60)),
        ({"ttl_s": 60, "shared": True}, KeyCache(60, shared=True)),
        ({"ttl_s": 60, "shared": False}, KeyCache(60)),
        ({"ttl_s": 60, "shared": None}, KeyCache(60)),
        ({"ttl_s": 60, "semantic": {}}, KeyCache(60, None, Semantic(None, Scope.KEY))),
        (
            {"ttl_s": 60, "semantic": {"threshold": "0.95", "scope": "account"}},
            KeyCache(60, None, Semantic(9_500, Scope.ACCOUNT)),
        ),
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
        ({"ttl_s": 60, "semantic": True}, "cache.semantic"),
        ({"ttl_s": 60, "semantic": {"treshold": "1"}}, "'treshold'"),
        *(
            ({"ttl_s": 60, "semantic": {"threshold": each}}, "cache.semantic.threshold")
            for each in ("0", "2", "NaN", "-1", "0.49", "1.1", "0.99999", "", "\u0660.9", 0.95, 1)
        ),
        *(
            ({"ttl_s": 60, "semantic": {"scope": each}}, "cache.semantic.scope")
            for each in ("all", "", None, 1, ["key"])
        ),
        ({"ttl_s": 60, "shared": 1}, "cache.shared"),
        ({"ttl_s": 60, "shared": 0}, "cache.shared"),
        ({"ttl_s": 60, "shared": "true"}, "cache.shared"),
        ({"ttl_s": 60, "shared": []}, "cache.shared"),
        ({"shared": True}, "cache.ttl_s"),
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


@pytest.mark.parametrize(
    ("text", "parts"), [("0.5", 5_000), ("0.9999", 9_999), ("1", 10_000), ("1.0000", 10_000)]
)
def test_a_threshold_is_whole_parts(text: str, parts: int) -> None:
    """Exactly, without a number that is nearly it (rule: contract)."""
    assert threshold_parts(text) == parts
