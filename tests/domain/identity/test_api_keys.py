"""API keys: created, masked, revoked once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from domain.errors import InvalidCommandError
from domain.events.identity import ApiKeyChanged, ApiKeyCreated, UserRegistered
from domain.identity.api_keys import (
    ApiKey,
    BeyondOwnLimitsError,
    KeyChangedError,
    LastKeyError,
    NameTakenError,
    TooManyKeysError,
    UnknownKeyError,
    asking_key,
    change_api_key,
    check_name,
    check_room,
    check_within,
    delete_api_key,
    free_name,
    replay_api_key,
    revoke_api_key,
    rotate_api_key,
)

if TYPE_CHECKING:
    from domain.events.base import Event, Stamp

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
WHEN: Stamp = {"id": "e2", "effective_at": "t2", "actor": "a", "correlation_id": "c"}


def test_revoking_is_an_event_once() -> None:
    """A revoked key stays revoked; the second time writes no event (rule: access)."""
    log: list[Event] = [CREATED]
    log += revoke_api_key(replay_api_key(log), WHEN, reason="r")
    state = replay_api_key(log)
    assert state is not None
    assert (state.revoked, state.version) == (True, 2)
    assert revoke_api_key(state, WHEN, reason="r") == []


def test_events_of_other_streams_change_no_key() -> None:
    """A revocation without a creation makes no key (P5)."""
    (revoked,) = revoke_api_key(replay_api_key([CREATED]), WHEN, reason="r")
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
        revoke_api_key(None, WHEN, reason="r")


STAMP: Stamp = {
    "id": "e2",
    "effective_at": "2026-01-02T00:00:00.000000Z",
    "actor": "a",
    "correlation_id": "c",
}
NEW = {"key_hash": "h2", "masked": "m2", "old_until": "2026-01-03T00:00:00.000000Z"}


def test_a_rotated_key_is_the_same_key() -> None:
    """Its id and stream go on; the event says until when the old writing opens (rule: access)."""
    log: list[Event] = [CREATED]
    rotated = rotate_api_key(replay_api_key(log), STAMP, **NEW)
    assert (rotated.originator_id, rotated.originator_version) == (KEY, 2)
    assert (rotated.key_hash, rotated.old_until) == ("h2", NEW["old_until"])
    log.append(rotated)
    assert rotate_api_key(replay_api_key(log), STAMP, **NEW).originator_version == 3
    assert replay_api_key([rotated]) is None


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ([], "no such"),
        ([CREATED, *revoke_api_key(replay_api_key([CREATED]), WHEN, reason="r")], "was revoked"),
        ([replace(CREATED, expires_at=STAMP["effective_at"])], "ended at"),
    ],
)
def test_a_key_that_opens_nothing_is_not_rotated(ended: list[Event], said: str) -> None:
    """It would be a new key under an old name (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match=said):
        rotate_api_key(replay_api_key(ended), STAMP, **NEW)


def test_a_key_before_its_end_is_rotated() -> None:
    """And keeps its end (rule: access)."""
    key = replay_api_key([replace(CREATED, expires_at="2026-01-02T00:00:00.000001Z")])
    assert rotate_api_key(key, STAMP, **NEW).originator_version == 2


READER = {"scopes": ["read:usage"]}


def key(*more: Event) -> ApiKey:
    """A key after more events."""
    state = replay_api_key([CREATED, *more])
    assert state is not None
    return state


def other(**members: object) -> ApiKey:
    """Another key of the user."""
    return replace(key(), id=UUID(int=2), **members)  # type: ignore[arg-type]


def test_a_change_says_what_was_and_what_is() -> None:
    """Only of the members that are others now; none is no event (rule: observable)."""
    after = {"name": "new", "is_active": True, "limits": READER, "expires_at": None}
    (changed,) = change_api_key(key(), after, [other()], STAMP)
    assert changed.before == {"name": "n", "limits": {}}
    assert changed.after == {"name": "new", "limits": READER}
    state = key(changed)
    assert (state.name, state.limits, state.version) == ("new", READER, 2)
    assert change_api_key(state, after, [], STAMP) == []
    assert replay_api_key([changed]) is None


@pytest.mark.parametrize(
    "after", [{"is_active": False}, {"limits": READER}, {"expires_at": STAMP["effective_at"]}]
)
def test_the_last_way_in_is_not_closed(after: dict[str, object]) -> None:
    """Neither switched off, nor limited, nor ended, while no other may manage (rule: access)."""
    for others in ([], [other(is_active=False)], [other(limits=READER)], [other(revoked=True)]):
        with pytest.raises(LastKeyError, match="make another one first"):
            change_api_key(key(), after, others, STAMP)
    assert change_api_key(key(), after, [other()], STAMP)
    assert change_api_key(other(limits=READER), {"is_active": False}, [], STAMP)


def test_a_key_does_not_lock_itself_out() -> None:
    """Where it would refuse the very request that asks, and there is no other (rule: access)."""
    limits = {"limits": {"ip_allowlist": ["203.0.113.1"]}}
    with pytest.raises(LastKeyError):
        change_api_key(key(), limits, [], STAMP, admitted=False)
    assert change_api_key(key(), limits, [other()], STAMP, admitted=False)
    assert change_api_key(key(), limits, [], STAMP, admitted=True)


def test_a_deleted_key_is_gone() -> None:
    """Whatever is asked of it: it is not there (rule: refuse clearly)."""
    with pytest.raises(LastKeyError):
        delete_api_key(key(), [], STAMP)
    deleted = delete_api_key(key(), [other()], STAMP)
    gone = key(deleted)
    assert not gone.opens("")
    assert replay_api_key([deleted]) is None
    for command in (
        lambda: delete_api_key(gone, [other()], STAMP),
        lambda: change_api_key(gone, {"name": "x"}, [other()], STAMP),
        lambda: rotate_api_key(gone, STAMP, **NEW),
        lambda: revoke_api_key(gone, WHEN, reason="r"),
    ):
        with pytest.raises(UnknownKeyError):
            command()


def test_a_key_without_rights_is_deleted_without_another() -> None:
    """A revoked one, and one that may not manage (rule: access)."""
    assert (
        delete_api_key(key(*revoke_api_key(key(), WHEN, reason="r")), [], STAMP).originator_version
        == 3
    )
    assert delete_api_key(replace(key(), limits=READER), [], STAMP).originator_id == KEY


def test_a_revoked_key_is_not_changed() -> None:
    """Nothing lets it open again (rule: access)."""
    with pytest.raises(InvalidCommandError, match="was revoked"):
        change_api_key(
            key(*revoke_api_key(key(), WHEN, reason="r")), {"is_active": True}, [], STAMP
        )


def test_names_are_one_to_a_key() -> None:
    """Short, printable, and nobody else's; or numbered (rule: bounded)."""
    assert check_name(" a ", ["b"]) == "a"
    with pytest.raises(NameTakenError, match="'a' already"):
        check_name("a", ["a"])
    for name in ("", " ", "x" * 101, "a\nb", "\0", "\u202e"):
        with pytest.raises(InvalidCommandError, match="printable"):
            check_name(name, [])
    assert free_name("key", []) == "key"
    assert free_name("key", ["key", "key 2"]) == "key 3"


def test_a_user_has_a_most_of_keys() -> None:
    """As many as the setting says (rule: bounded)."""
    check_room(1, 2)
    with pytest.raises(TooManyKeysError, match="at most 2 keys"):
        check_room(2, 2)


def test_a_key_gives_no_more_than_it_has() -> None:
    """Of the lists that are given (rule: access)."""
    maker = replace(key(), limits={**READER, "models": ["m"]})
    check_within(maker, {**READER, "models": ["m"]})
    check_within(maker, {"models": ["m"]}, ["models"])
    with pytest.raises(BeyondOwnLimitsError, match="limited in scopes to read:usage"):
        check_within(maker, {"models": ["m"]})


def test_the_key_that_asks_still_may() -> None:
    """Under the lock, where it may have been deleted, ended or limited since (rule: access)."""
    key = replay_api_key([CREATED])
    assert key is not None
    assert asking_key({KEY: key}, KEY, "t") is key
    with pytest.raises(UnknownKeyError):
        asking_key({KEY: key}, UUID(int=2), "t")
    for changed in (
        replace(key, is_active=False),
        replace(key, expires_at="t"),
        replace(key, limits={"scopes": []}),
    ):
        with pytest.raises(KeyChangedError, match="any more"):
            asking_key({KEY: changed}, KEY, "t")


def test_events_of_keys_are_facts_of_their_own() -> None:
    """A change is not a creation (P5)."""
    changed = ApiKeyChanged(originator_id=KEY, originator_version=1, **STAMP, before={}, after={})
    assert replay_api_key([changed]) is None
