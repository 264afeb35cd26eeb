"""API keys: created, masked, revoked once."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from domain.errors import InvalidCommandError
from domain.events.identity import ApiKeyCreated, UserRegistered
from domain.identity.api_keys import replay_api_key, revoke_api_key

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
