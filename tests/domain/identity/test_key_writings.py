"""The writings of keys that follow from the log: made, rotated, revoked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events.identity import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyRevoked,
    ApiKeyRotated,
    UserRegistered,
)
from domain.identity.key_writings import KeyWritings, Writing

if TYPE_CHECKING:
    from domain.events.base import Event

KEY = UUID("00000000-0000-7000-8000-0000000000a1")
EARLY, LATE = "2027-01-01T00:00:00.000000Z", "2028-01-01T00:00:00.000000Z"
ENVELOPE: dict[str, Any] = {
    "originator_id": KEY,
    "originator_version": 1,
    "id": "e",
    "effective_at": EARLY,
    "actor": "test",
    "correlation_id": "r",
}
WRITTEN = Writing(key_id=str(KEY), user_id="u", account_id="a", masked="gw_…1", name="key")


def created(expires_at: str | None = None) -> ApiKeyCreated:
    """A key that may end."""
    return ApiKeyCreated(
        **ENVELOPE,
        user_id="u",
        account_id="a",
        key_hash="h1",
        masked="gw_…1",
        name="key",
        expires_at=expires_at,
    )


def rotated(until: str) -> ApiKeyRotated:
    """Its next writing."""
    return ApiKeyRotated(**ENVELOPE, key_hash="h2", masked="gw_…2", old_until=until)


def folded(*events: Event) -> dict[str, Writing]:
    """By digest."""
    keys = KeyWritings()
    for each in events:
        keys.apply(each)
    return keys.by_hash


def test_a_key_has_one_writing_until_it_is_rotated() -> None:
    """Made and revoked, with its end; other events say nothing of it (P8)."""
    user = UserRegistered(**ENVELOPE, account_id="a", email_ciphertext="")
    assert folded(user, created(LATE)) == {"h1": WRITTEN._replace(expires_at=LATE)}
    assert folded(created(), ApiKeyRevoked(**ENVELOPE)) == {"h1": WRITTEN._replace(revoked=True)}


def test_the_old_writing_ends_first_and_the_new_one_keeps_the_keys_end() -> None:
    """The earlier of the grace and the key's own end; a revocation takes all writings (P8)."""
    old, new = WRITTEN._replace(replaced=True), WRITTEN._replace(masked="gw_…2")
    assert folded(created(), rotated(EARLY)) == {
        "h1": old._replace(expires_at=EARLY),
        "h2": new,
    }
    assert folded(created(EARLY), rotated(LATE), ApiKeyRevoked(**ENVELOPE)) == {
        "h1": old._replace(expires_at=EARLY, revoked=True),
        "h2": new._replace(expires_at=EARLY, revoked=True),
    }


def test_what_was_never_made_is_not_rotated() -> None:
    """Nor revoked: the append writes nothing either (P8)."""
    assert folded(rotated(EARLY), ApiKeyRevoked(**ENVELOPE)) == {}


def changed(**after: Any) -> ApiKeyChanged:
    """A change; what was before is nothing to the writings."""
    return ApiKeyChanged(**ENVELOPE, before={}, after=after)


def test_a_change_is_of_all_writings_but_a_new_end_lets_none_open_longer() -> None:
    """Name, switch and limits are the key's; a replaced writing ends no later than before (P8)."""
    limits = {"scopes": ["read:usage"]}
    found = folded(
        created(),
        rotated(EARLY),
        changed(name="new", is_active=False, limits=limits),
        changed(expires_at=LATE),
    )
    both: dict[str, Any] = {"name": "new", "active": False, "limits": limits}
    assert found == {
        "h1": WRITTEN._replace(replaced=True, expires_at=EARLY, **both),
        "h2": WRITTEN._replace(masked="gw_…2", expires_at=LATE, **both),
    }
    forever = folded(created(LATE), rotated(LATE), changed(expires_at=None, limits={}))
    assert (forever["h1"].expires_at, forever["h2"].expires_at) == (LATE, None)
    assert forever["h2"].limits is None
    assert folded(changed(name="x"), changed(expires_at=None)) == {}


def test_a_writing_tells_where_it_last_changed_and_that_it_was_deleted() -> None:
    """The position of the key's last event, on every writing (P7, P8)."""
    keys = KeyWritings()
    keys.apply(created(), 3)
    keys.apply(rotated(EARLY), 4)
    keys.apply(UserRegistered(**ENVELOPE, account_id="a", email_ciphertext=""), 5)
    assert {each.position for each in keys.by_hash.values()} == {4}
    keys.apply(ApiKeyDeleted(**ENVELOPE), 6)
    assert {(each.position, each.deleted) for each in keys.by_hash.values()} == {(6, True)}
