"""API keys: created, masked, revoked once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from domain.errors import InvalidCommandError
from domain.events.identity import ApiKeyCreated, UserRegistered
from domain.identity.api_keys import replay_api_key, revoke_api_key, rotate_api_key

if TYPE_CHECKING:
    from domain.events.base import Event

KEY = UUID(int=1)
CREATED = ApiKeyCreated(
    originator_id=KEY,
    originator_version=1,
    id="e",
    effective_at="t",
    actor="a",
    correlation_id="c",
    user_id="u",
    account_id="a",
    key_hash="h",
    masked="m",
    name="n",
)
WHEN = {"event_id": "e2", "now": "t2", "actor": "a", "correlation_id": "c", "reason": "r"}


def test_revoking_is_an_event_once() -> None:
    """A revoked key stays revoked; the second time writes no event (rule: access)."""
    log: list[Event] = [CREATED]
    log += revoke_api_key(replay_api_key(log), **WHEN)
    state = replay_api_key(log)
    assert state is not None
    assert (state.revoked, state.version) == (True, 2)
    assert revoke_api_key(state, **WHEN) == []


def test_events_of_other_streams_change_no_key() -> None:
    """A revocation without a creation makes no key (P5)."""
    (revoked,) = revoke_api_key(replay_api_key([CREATED]), **WHEN)
    assert replay_api_key([revoked]) is None
    user = UserRegistered(
        originator_id=KEY,
        originator_version=1,
        id="e",
        effective_at="t",
        actor="a",
        correlation_id="c",
        account_id="a",
        email_ciphertext="x",
    )
    assert replay_api_key([CREATED, user]) == replay_api_key([CREATED])


def test_an_unknown_key_cannot_be_revoked() -> None:
    """A mistake is worth telling (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError):
        revoke_api_key(None, **WHEN)


NEW = {
    **{name: WHEN[name] for name in ("event_id", "actor", "correlation_id")},
    "now": "2026-01-02T00:00:00.000000Z",
    "key_hash": "h2",
    "masked": "m2",
    "old_until": "2026-01-03T00:00:00.000000Z",
}


def test_a_rotated_key_is_the_same_key() -> None:
    """Its id and stream go on; the event says until when the old writing opens (rule: access)."""
    log: list[Event] = [CREATED]
    rotated = rotate_api_key(replay_api_key(log), **NEW)
    assert (rotated.originator_id, rotated.originator_version) == (KEY, 2)
    assert (rotated.key_hash, rotated.old_until) == ("h2", NEW["old_until"])
    log.append(rotated)
    assert rotate_api_key(replay_api_key(log), **NEW).originator_version == 3
    assert replay_api_key([rotated]) is None


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ([], "no such"),
        ([CREATED, *revoke_api_key(replay_api_key([CREATED]), **WHEN)], "was revoked"),
        ([replace(CREATED, expires_at=NEW["now"])], "ended at"),
    ],
)
def test_a_key_that_opens_nothing_is_not_rotated(ended: list[Event], said: str) -> None:
    """It would be a new key under an old name (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match=said):
        rotate_api_key(replay_api_key(ended), **NEW)


def test_a_key_before_its_end_is_rotated() -> None:
    """And keeps its end (rule: access)."""
    key = replay_api_key([replace(CREATED, expires_at="2026-01-02T00:00:00.000001Z")])
    assert rotate_api_key(key, **NEW).originator_version == 2
