"""Events of what a user says of themselves, and of their leaving."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class ProfileChanged(Event):
    """The user changed these members of the profile; what they hold is in no event."""

    TOPIC = "user.profile_changed.v1"
    CATEGORY = "user"

    members: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class EmailChanged(Event):
    """The user has another address, encrypted with the user's key; it is not verified yet."""

    TOPIC = "user.email_changed.v1"
    CATEGORY = "user"

    email_ciphertext: str


@dataclass(frozen=True, kw_only=True)
class UserDeleted(Event):
    """The user left: the data key is destroyed, so that nobody reads what it encrypts (P5)."""

    TOPIC = "user.deleted.v1"
    CATEGORY = "user"
