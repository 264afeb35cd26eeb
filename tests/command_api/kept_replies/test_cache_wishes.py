"""What headers ask of the cache, and those that ask for nothing that can be."""

from __future__ import annotations

import pytest

from command_api.kept_replies.cache_wishes import BYPASS, CacheWish, read_wish
from domain.identity.key_cache import KeyCache, Scope, Semantic
from edge.errors import ApiError

DAY = 86_400
KEY = KeyCache(ttl_s=60, max_age_s=30)
ON = CacheWish(ttl_s=300.0)


@pytest.mark.parametrize(
    ("asked", "control", "wish"),
    [
        (b"", b"", None),
        (b"", b"no-cache", None),
        (b"", b"max-age=0, no-store", None),
        (b"", b"only-if-cached", ON._replace(only=True)),
        (b"on", b"", ON),
        (b"ON", b"max-age=5", ON._replace(max_age_s=5)),
        (b"on", b"max-age=0", ON._replace(reads=False, max_age_s=0)),
        (b"shared", b"", ON._replace(shared=True)),
        (b"shared, ttl=60", b"", CacheWish(ttl_s=60.0, shared=True)),
        (b"shared, private", b"", ON),
        (b"private", b"", ON),
        (b"shared, off", b"", BYPASS),
        (b"shared", b"no-store", BYPASS),
        (b"on", b"max-age=00", ON._replace(reads=False, max_age_s=0)),
        (b"on", b"max-age=0, max-age=9", ON._replace(max_age_s=9)),
        (b"", b"only-if-cached, max-age=0", ON._replace(reads=False, max_age_s=0, only=True)),
        (b"ttl=60", b"", CacheWish(ttl_s=60.0)),
        (b"refresh; ttl=60", b"", CacheWish(reads=False, ttl_s=60.0)),
        (b"on", b"No-Cache", ON._replace(reads=False)),
        (b"on", b"no-store", BYPASS),
        (b"off", b"", BYPASS),
        (b"on", b"x-unknown=1, max-stale", ON),
        (b"on", b"max-age=1000000000000000000", ON._replace(max_age_s=10**18)),
    ],
)
def test_wishes(asked: bytes, control: bytes, wish: CacheWish | None) -> None:
    """Nobody is opted in by what clients send unasked (rule: contract)."""
    assert read_wish(asked, control, default_s=0, ttl_max_s=DAY) == wish


@pytest.mark.parametrize(
    ("asked", "control"),
    [
        (b"ttl=1000000000000000000", b""),
        (b"ttl=" + b"9" * 100, b""),
        (b"ttl=-1", b""),
        (b"ttl=0", b""),
        (b"ttl=soon", b""),
        (b"ttl=1.5", b""),
        (b"ttl=\xb2", b""),
        (b"ttl=", b""),
        (b"yes", b""),
        (b"shared=1", b""),
        *((b"semantic=" + each, b"") for each in (b"", b"0", b"2", b"nan", b"-1", b"\xb2", b"1e0")),
        (b"on" * 1_000, b""),
        (b"on", b"max-age=-1"),
        (b"on", b"max-age=soon"),
        (b"on", b"max-age=" + b"9" * 100),
        (b"on", b"a," * 1_000),
    ],
)
def test_what_cannot_be_is_refused(asked: bytes, control: bytes) -> None:
    """A clear 400 (rule: bounded)."""
    with pytest.raises(ApiError) as refused:
        read_wish(asked, control, default_s=0, ttl_max_s=DAY)
    assert (refused.value.status, refused.value.code) == (400, "invalid_cache_wish")


def test_an_age_of_nothing_is_no_look_up() -> None:
    """By the key as by the request, whose age counts (rule: contract)."""
    key = KeyCache(ttl_s=60, max_age_s=0)
    for control, reads in ((b"", False), (b"max-age=5", True), (b"max-age=0", False)):
        wish = read_wish(b"", control, default_s=0, ttl_max_s=DAY, key=key)
        assert wish is not None
        assert (wish.reads, wish.keeps) == (reads, True)


def test_the_operator_decides() -> None:
    """All calls, none, and for how long (rule: contract)."""
    always = read_wish(b"", b"", default_s=60, ttl_max_s=0)
    assert always == CacheWish(ttl_s=60.0)
    assert read_wish(b"", b"no-store", default_s=60, ttl_max_s=0) == BYPASS
    assert read_wish(b"on", b"", default_s=0, ttl_max_s=0) == BYPASS
    assert read_wish(b"on", b"", default_s=0, ttl_max_s=10) == CacheWish(ttl_s=10.0)


@pytest.mark.parametrize(
    ("asked", "control", "wish"),
    [
        (b"", b"", CacheWish(ttl_s=60.0, max_age_s=30)),
        (b"on", b"", CacheWish(ttl_s=60.0, max_age_s=30)),
        (b"ttl=5", b"max-age=900", CacheWish(ttl_s=5.0, max_age_s=900)),
        (b"", b"no-cache", CacheWish(reads=False, ttl_s=60.0, max_age_s=30)),
        (b"refresh", b"", CacheWish(reads=False, ttl_s=60.0, max_age_s=30)),
        (b"", b"no-store", BYPASS),
        (b"off", b"", BYPASS),
    ],
)
def test_a_key_opts_in_and_its_requests_may_say_otherwise(
    asked: bytes, control: bytes, wish: CacheWish
) -> None:
    """What a request says counts, of the rest what its key says (rule: contract)."""
    assert read_wish(asked, control, default_s=0, ttl_max_s=DAY, key=KEY) == wish


def test_a_key_is_kept_to_what_the_operator_allows() -> None:
    """Its time is cut to the longest there is; where nothing is kept it opts in to nothing
    (rule: bounded).
    """
    for default_s, ttl_max_s, kept_s in ((0, 10, 10.0), (20, 10, 20.0), (20, DAY, 60.0)):
        wish = read_wish(b"", b"", default_s=default_s, ttl_max_s=ttl_max_s, key=KEY)
        assert wish == CacheWish(ttl_s=kept_s, max_age_s=30)
    assert read_wish(b"", b"", default_s=0, ttl_max_s=0, key=KEY) == BYPASS


def test_nearly_the_same_text_is_asked_for() -> None:
    """By request, by key, and not at all; the request's threshold counts (rule: contract)."""
    key = KeyCache(ttl_s=60, semantic=Semantic(9_000, Scope.ACCOUNT))

    def semantic(asked: bytes, key: KeyCache | None = None) -> Semantic | None:
        wish = read_wish(asked, b"", default_s=0, ttl_max_s=DAY, key=key)
        assert wish is not None
        return wish.semantic

    assert semantic(b"on") is None
    assert semantic(b"semantic") == Semantic(None, Scope.KEY)
    assert semantic(b"semantic=0.8") == Semantic(8_000, Scope.KEY)
    assert semantic(b"", key) == key.semantic
    assert semantic(b"ttl=5", key) == key.semantic
    assert semantic(b"semantic=1", key) == Semantic(10_000, Scope.ACCOUNT)
    assert semantic(b"exact", key) is None
    assert semantic(b"off", key) is None


def test_who_shares_says_so() -> None:
    """By key or by request; a request takes itself out (rule: access)."""
    key = KeyCache(ttl_s=60, shared=True)

    def shared(asked: bytes, key: KeyCache | None) -> bool:
        wish = read_wish(asked, b"", default_s=60, ttl_max_s=DAY, key=key)
        assert wish is not None
        return wish.shared

    assert not shared(b"", None)
    assert not shared(b"on", KEY)
    assert shared(b"shared", KEY)
    assert shared(b"", key)
    assert shared(b"exact", key)
    assert not shared(b"private", key)
    assert not shared(b"off", key)
