"""Tokens of sessions: whose, until when, and nobody else's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from command_api.sessions.tokens import SKEW_S, Refresh, Tokens
from edge.errors import ApiError

KEY, OTHER = b"a" * 32, b"b" * 32
LIFE_S = 900
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SESSION = UUID(int=5)


def code(tokens: Tokens, token: str, after_s: float = 0) -> str:
    """The refusal of an access token, so many seconds later; empty where it is good."""
    try:
        shown = tokens.read_access(token, NOW + timedelta(seconds=after_s))
    except ApiError as error:
        return error.code
    assert shown == ("user", SESSION)
    return ""


def test_an_access_token_is_good_for_its_time() -> None:
    """With some seconds of skew between two gateways' clocks, but no more (rule: access)."""
    tokens = Tokens(KEY, LIFE_S)
    token = tokens.access("user", SESSION, NOW)
    for after_s, said in (
        (0, ""),
        (LIFE_S - 1, ""),
        (LIFE_S, "token_expired"),
        (10**9, "token_expired"),
        (-SKEW_S, ""),
        (-SKEW_S - 1, "invalid_token"),
        (-(10**9), "invalid_token"),
    ):
        assert code(tokens, token, after_s) == said, after_s


def test_a_token_of_another_installation_is_none() -> None:
    """Of the test environment it opens nothing of the live one, which has another secret; nor does
    one for something else, or one that nobody signed (rule: access).
    """
    ours, theirs = Tokens(KEY, LIFE_S), Tokens(OTHER, LIFE_S)
    assert code(ours, theirs.access("user", SESSION, NOW)) == "invalid_token"
    good = {"iss": "gatewayz", "typ": "access", "sub": "user", "sid": str(SESSION)}
    times = {"iat": int(NOW.timestamp()), "exp": int(NOW.timestamp()) + LIFE_S}
    key = OctKey.import_key(KEY)
    for change in (
        {"iss": "others"},
        {"typ": "refresh"},
        {"sid": "none"},
        {"exp": "never"},
        {"iat": None},
    ):
        token = jwt.encode({"alg": "HS256"}, {**good, **times, **change}, key)
        assert code(ours, token) == "invalid_token", change
    head, claims, _ = ours.access("user", SESSION, NOW).split(".")
    for token in (f"{head}.{claims}.", f"eyJhbGciOiJub25lIn0.{claims}.", "", "..", "x" * 9_000):
        assert code(ours, token) == "invalid_token"


@pytest.mark.parametrize("other", ["", "gwr_", "gwr_é", "gwr_" + "A" * 70, "gwr_" + "A" * 9_000])
def test_a_refresh_token_is_ours_or_none(other: str) -> None:
    """Of this secret, this session and this generation alone (rule: access)."""
    tokens, said = Tokens(KEY, LIFE_S), Refresh(SESSION, 3)
    token = tokens.refresh(said)
    assert tokens.read_refresh(token) == said
    assert tokens.read_refresh(Tokens(OTHER, LIFE_S).refresh(said)) is None
    swapped = token[:-1] + ("A" if token[-1] != "A" else "B")
    assert (
        tokens.read_refresh(swapped[:10] + ("A" if token[10] != "A" else "B") + token[11:]) is None
    )
    assert tokens.read_refresh(tokens.access("user", SESSION, NOW)) is None
    assert tokens.read_refresh(other) is None
