"""Users and API keys: commands decide events, events evolve state.

Keeps P5: an address is only ever seen encrypted, a key only as its HMAC.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from domain.errors import InvalidCommandError
from domain.events.identity import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from domain.events.base import Event


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
            )
        case ApiKeyRotated() if state:
            return replace(state, version=event.originator_version)
        case ApiKeyRevoked() if state:
            return replace(state, version=event.originator_version, revoked=True)
        case _:
            return state


def replay_api_key(events: Iterable[Event]) -> ApiKey | None:
    """A key's state after its events."""
    state: ApiKey | None = None
    for event in events:
        state = evolve_api_key(state, event)
    return state


def revoke_api_key(
    state: ApiKey | None,
    *,
    event_id: str,
    now: str,
    actor: str,
    correlation_id: str,
    reason: str,
) -> list[ApiKeyRevoked]:
    """Revoke a key; revoking it again changes nothing. Raises InvalidCommandError if unknown."""
    if state is None:
        message = "no such API key"
        raise InvalidCommandError(message)
    if state.revoked:
        return []
    return [
        ApiKeyRevoked(
            originator_id=state.id,
            originator_version=state.version + 1,
            id=event_id,
            effective_at=now,
            actor=actor,
            correlation_id=correlation_id,
            reason=reason,
        )
    ]


def rotate_api_key(
    state: ApiKey | None,
    *,
    event_id: str,
    now: str,
    actor: str,
    correlation_id: str,
    key_hash: str,
    masked: str,
    old_until: str,
) -> ApiKeyRotated:
    """Write a key anew; its id, name, rights and end stay.

    Raises InvalidCommandError for a key that is unknown, revoked or past its end.
    """
    if state is None:
        message = "no such API key"
    elif state.revoked:
        message = "the key was revoked: make a new one"
    elif state.expires_at is not None and state.expires_at <= now:
        message = f"the key ended at {state.expires_at}: make a new one"
    else:
        return ApiKeyRotated(
            originator_id=state.id,
            originator_version=state.version + 1,
            id=event_id,
            effective_at=now,
            actor=actor,
            correlation_id=correlation_id,
            key_hash=key_hash,
            masked=masked,
            old_until=old_until,
        )
    raise InvalidCommandError(message)
