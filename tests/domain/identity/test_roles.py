"""Who may change whose role, decided without a database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.errors import (
    InvalidCommandError,
    LastAdminError,
    OwnRoleError,
    UnknownRoleError,
    UnknownUserError,
)
from domain.events.access import AdminRead, UserRoleChanged
from domain.events.identity import UserRegistered
from domain.identity.permissions import Role
from domain.identity.roles import (
    REASON_CHARACTERS_MAX,
    RoleWish,
    UserRoles,
    change_role,
    replay_user,
    role_named,
    role_of,
)

ANN = UUID("00000000-0000-7000-8000-000000000001")
BOB = "00000000-0000-7000-8000-000000000002"
ENVELOPE: dict[str, Any] = {
    "id": "e",
    "effective_at": "2026-01-01T00:00:00.000000Z",
    "actor": "test",
    "correlation_id": "c",
}
REGISTERED = UserRegistered(
    originator_id=ANN,
    originator_version=1,
    account_id="a",
    email_ciphertext="00",
    **ENVELOPE,
)
WISH = RoleWish(to="admin", admins=0, by_user_id=None, reason="asked for")


def decided(*events: Any, **more: Any) -> list[UserRoleChanged]:
    """What a wish makes of a user's stream."""
    return change_role(
        replay_user(events),
        replace(WISH, **more),
        event_id="e",
        now=ENVELOPE["effective_at"],
        actor="test",
        correlation_id="c",
    )


def test_a_role_is_given_and_taken() -> None:
    """The event says from what to what, why and by whom (rule: access)."""
    (given,) = decided(REGISTERED)
    assert (given.from_role, given.to_role, given.reason) == ("user", "admin", "asked for")
    assert (given.originator_id, given.originator_version) == (ANN, 2)
    (taken,) = decided(REGISTERED, given, to="developer", admins=2, by_user_id=BOB)
    assert (taken.from_role, taken.to_role, taken.by_user_id) == ("admin", "developer", BOB)
    assert taken.originator_version == 3


def test_the_same_role_changes_nothing() -> None:
    """Neither for a user nor for the last admin (rule: access)."""
    assert decided(REGISTERED, to="user") == []
    (given,) = decided(REGISTERED)
    assert decided(REGISTERED, given, to="admin", admins=1) == []


def test_what_is_refused_says_why() -> None:
    """Each of the rules, with an error of its own (rule: refuse clearly)."""
    (given,) = decided(REGISTERED)
    with pytest.raises(LastAdminError, match="make another one first"):
        decided(REGISTERED, given, to="user", admins=1)
    with pytest.raises(OwnRoleError, match="another admin"):
        decided(REGISTERED, given, to="user", admins=2, by_user_id=str(ANN))
    with pytest.raises(UnknownRoleError, match="there are user, developer, finance, admin"):
        decided(REGISTERED, to="Admin")
    with pytest.raises(UnknownUserError):
        decided()
    with pytest.raises(InvalidCommandError, match="at most 1000"):
        decided(REGISTERED, reason="x" * (REASON_CHARACTERS_MAX + 1))
    assert decided(REGISTERED, reason="x" * REASON_CHARACTERS_MAX)


def test_a_stream_without_a_registration_is_nobodys() -> None:
    """An event on it makes no user (rule: access)."""
    (given,) = decided(REGISTERED)
    assert replay_user([given]) is None


def test_what_else_happens_to_a_user_leaves_the_role() -> None:
    """Only the version goes on (P5)."""
    other = AdminRead(
        originator_id=ANN, originator_version=7, by_user_id=BOB, route="/x", **ENVELOPE
    )
    state = replay_user([REGISTERED, other])
    assert state is not None
    assert (state.role, state.version) == (Role.USER, 7)


def test_a_role_that_is_not_known_is_that_of_a_user() -> None:
    """What a newer release stored gives nothing here (rule: access)."""
    assert role_of(None) is role_of("owner") is Role.USER
    assert role_of("admin") is Role.ADMIN
    assert role_named("developer") is Role.DEVELOPER


def test_the_log_says_who_has_which_role() -> None:
    """The last change of each user; other events are about something else (P8)."""
    known = UserRoles()
    (given,) = decided(REGISTERED)
    (taken,) = decided(REGISTERED, given, to="user", admins=2)
    events = (REGISTERED, given, replace(given, originator_id=UUID(BOB)), taken)
    for position, event in enumerate(events, start=1):
        known.apply(event, position)
    assert known.by_user == {str(ANN): ("user", 4), BOB: ("admin", 3)}
