"""Events of what opens an account beside a password. No secret and no name stands in them."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class TotpEnabled(Event):
    """The user showed a code of an authenticator: a password alone opens nothing from now on."""

    TOPIC = "user.totp_enabled.v1"
    CATEGORY = "user"


@dataclass(frozen=True, kw_only=True)
class TotpDisabled(Event):
    """No second step any more. `how` is what was shown: `password`, `totp`, `recovery_code`."""

    TOPIC = "user.totp_disabled.v1"
    CATEGORY = "user"

    how: str


@dataclass(frozen=True, kw_only=True)
class RecoveryCodesMade(Event):
    """The user has so many new recovery codes; all earlier ones are good no more."""

    TOPIC = "user.recovery_codes_made.v1"
    CATEGORY = "user"

    count: int


@dataclass(frozen=True, kw_only=True)
class PasskeyAdded(Event):
    """A passkey opens the account."""

    TOPIC = "user.passkey_added.v1"
    CATEGORY = "user"

    passkey_id: str


@dataclass(frozen=True, kw_only=True)
class PasskeyRemoved(Event):
    """A passkey opens it no more."""

    TOPIC = "user.passkey_removed.v1"
    CATEGORY = "user"

    passkey_id: str


@dataclass(frozen=True, kw_only=True)
class SecondFactorsReset(Event):
    """Authenticator, recovery codes and passkeys open nothing any more, by an operator's word, or
    because the address was not verified before its owner set a password.
    """

    TOPIC = "user.second_factors_reset.v1"
    CATEGORY = "user"

    reason: str


@dataclass(frozen=True, kw_only=True)
class IdentityLinked(Event):
    """Who the user is at a provider opens the account; who that is stands in no event."""

    TOPIC = "user.identity_linked.v1"
    CATEGORY = "user"

    provider: str


@dataclass(frozen=True, kw_only=True)
class IdentityUnlinked(Event):
    """It opens it no more."""

    TOPIC = "user.identity_unlinked.v1"
    CATEGORY = "user"

    provider: str
