"""API keys: commands decide events, events evolve state.

Keeps P5: a key is only ever seen as its HMAC.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from domain.errors import DomainError, InvalidCommandError
from domain.events.identity import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyRevoked,
    ApiKeyRotated,
)
from domain.identity.access import ENTRIES_MAX, beyond, scopes_in
from domain.identity.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from domain.events.base import Event, Stamp
    from domain.identity.access import Limits

NAME_CHARACTERS_MAX = 100


class UnknownKeyError(InvalidCommandError):
    """There is no such key, or none any more."""

    code = "api_key_not_found"


class KeyChangedError(InvalidCommandError):
    """Somebody else changed the key while it was decided."""

    code = "key_changed"


class BeyondOwnLimitsError(DomainError):
    """A key would give more than it has itself."""

    code = "beyond_own_limits"


class NameTakenError(DomainError):
    """Another key of the user has the name."""

    code = "key_name_taken"


class TooManyKeysError(DomainError):
    """The user has as many keys as one may have."""

    code = "too_many_keys"


class LastKeyError(DomainError):
    """Without the key its user could not manage keys any more."""

    code = "last_key"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """State of one API key."""

    id: UUID
    version: int
    user_id: str
    account_id: str
    environment: str
    expires_at: str | None
    revoked: bool
    name: str = ""
    is_active: bool = True
    deleted: bool = False
    limits: dict[str, list[str]] = field(default_factory=dict)
    project_id: str | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    def opens(self, now: str) -> bool:
        """Whether the key opens anything at an instant."""
        ended = self.expires_at is not None and self.expires_at <= now
        return self.is_active and not (self.revoked or self.deleted or ended)

    def manages(self, now: str) -> bool:
        """Whether the key may make and change keys at an instant; a project's key never may."""
        scopes = scopes_in(self.limits)
        allowed = scopes is None or Permission.WRITE_API_KEYS in scopes
        return self.opens(now) and self.project_id is None and allowed


def evolve_api_key(state: ApiKey | None, event: Event) -> ApiKey | None:
    """The next state of a key."""
    match event:
        case ApiKeyCreated():
            return ApiKey(
                id=event.originator_id,
                version=event.originator_version,
                user_id=event.user_id,
                account_id=event.account_id,
                environment=event.environment,
                expires_at=event.expires_at,
                revoked=False,
                name=event.name,
                limits=event.limits,
                project_id=event.project_id,
                cache=event.cache,
            )
        case ApiKeyRotated() if state:
            return replace(state, version=event.originator_version)
        case ApiKeyChanged() if state:
            return replace(state, version=event.originator_version, **event.after)
        case ApiKeyRevoked() if state:
            return replace(state, version=event.originator_version, revoked=True)
        case ApiKeyDeleted() if state:
            return replace(state, version=event.originator_version, deleted=True)
        case _:
            return state


def replay_api_key(events: Iterable[Event]) -> ApiKey | None:
    """A key's state after its events."""
    state: ApiKey | None = None
    for event in events:
        state = evolve_api_key(state, event)
    return state


def asking_key(known: Mapping[UUID, ApiKey], key_id: UUID, now: str) -> ApiKey:
    """The key that asks, as it is now: its request was let in by what was so before.

    `known` are the keys of the user. Raises UnknownKeyError for one of another user, and
    KeyChangedError for one that may no longer.
    """
    if key_id not in known:
        message = "no such API key"
        raise UnknownKeyError(message)
    if not known[key_id].manages(now):
        message = "the key that asks may not do this any more"
        raise KeyChangedError(message)
    return known[key_id]


def check_name(name: str, taken: Iterable[str]) -> str:
    """A name for a key of a user; raises InvalidCommandError or NameTakenError."""
    name = name.strip()
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        message = f"a key's name has 1 to {NAME_CHARACTERS_MAX} printable characters"
        raise InvalidCommandError(message)
    if name in taken:
        message = f"you have a key of the name {name!r} already: give another name"
        raise NameTakenError(message)
    return name


def free_name(name: str, taken: Iterable[str]) -> str:
    """The name, with a number behind it where others have it."""
    found, number, known = name, 2, set(taken)
    while found in known:
        found, number = f"{name} {number}", number + 1
    return found


def check_room(keys: int, most: int) -> None:
    """Raise TooManyKeysError for a user who has as many keys as one may have."""
    if keys >= most:
        message = f"a user has at most {most} keys: delete one that is not used any more"
        raise TooManyKeysError(message)


def check_within(maker: ApiKey, limits: Limits, names: Iterable[str] = ENTRIES_MAX) -> None:
    """Raise BeyondOwnLimitsError where limits of these names allow what the maker's own do not."""
    passed = beyond({name: maker.limits[name] for name in names if name in maker.limits}, limits)
    if passed:
        message = (
            f"a key gives no more than it has: this one is limited in {passed} to "
            f"{', '.join(maker.limits[passed])}"
        )
        raise BeyondOwnLimitsError(message)


def change_api_key(
    state: ApiKey | None,
    after: dict[str, Any],
    others: Iterable[ApiKey],
    stamp: Stamp,
    *,
    admitted: bool = True,
) -> list[ApiKeyChanged]:
    """Give members of a key other values; what they are already changes nothing.

    `after` has any of `name`, `is_active`, `expires_at`, `limits`, `cache`; `others` are the
    user's other keys. `admitted` says that whoever asks with this key could still do so. Raises
    UnknownKeyError, InvalidCommandError for a key that was revoked, and LastKeyError where nobody
    could manage the user's keys any more.
    """
    known, now = _living(state), stamp["effective_at"]
    changed = {name: value for name, value in after.items() if value != getattr(known, name)}
    if not changed:
        return []
    could_still = admitted and replace(known, **changed).manages(now)
    if known.manages(now) and not could_still:
        _check_not_last(others, now)
    return [
        ApiKeyChanged(
            originator_id=known.id,
            originator_version=known.version + 1,
            before={name: getattr(known, name) for name in changed},
            after=changed,
            **stamp,
        )
    ]


def revoke_api_key(state: ApiKey | None, stamp: Stamp, *, reason: str) -> list[ApiKeyRevoked]:
    """Revoke a key; revoking it again changes nothing. Raises UnknownKeyError."""
    known = _known(state)
    if known.revoked:
        return []
    version = known.version + 1
    return [
        ApiKeyRevoked(originator_id=known.id, originator_version=version, **stamp, reason=reason)
    ]


def delete_api_key(state: ApiKey | None, others: Iterable[ApiKey], stamp: Stamp) -> ApiKeyDeleted:
    """Take a key from its user's lists for ever; it opens nothing from now on.

    `others` are the user's other keys. Raises UnknownKeyError, and LastKeyError for the last key
    that may manage keys.
    """
    known, now = _known(state), stamp["effective_at"]
    if known.manages(now):
        _check_not_last(others, now)
    return ApiKeyDeleted(originator_id=known.id, originator_version=known.version + 1, **stamp)


def rotate_api_key(
    state: ApiKey | None, stamp: Stamp, *, key_hash: str, masked: str, old_until: str
) -> ApiKeyRotated:
    """Write a key anew; its id, name, rights and end stay.

    Raises UnknownKeyError, and InvalidCommandError for a key that is revoked or past its end.
    """
    known = _living(state)
    if known.expires_at is not None and known.expires_at <= stamp["effective_at"]:
        message = f"the key ended at {known.expires_at}: make a new one"
        raise InvalidCommandError(message)
    return ApiKeyRotated(
        originator_id=known.id,
        originator_version=known.version + 1,
        **stamp,
        key_hash=key_hash,
        masked=masked,
        old_until=old_until,
    )


def _check_not_last(others: Iterable[ApiKey], now: str) -> None:
    if not any(each.manages(now) for each in others):
        message = "no other key of yours could manage your keys then: make another one first"
        raise LastKeyError(message)


def _known(state: ApiKey | None) -> ApiKey:
    if state is None or state.deleted:
        message = "no such API key"
        raise UnknownKeyError(message)
    return state


def _living(state: ApiKey | None) -> ApiKey:
    known = _known(state)
    if known.revoked:
        message = "the key was revoked: make a new one"
        raise InvalidCommandError(message)
    return known
