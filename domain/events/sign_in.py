"""Events of signing in: what a person proved, and when."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class EmailVerified(Event):
    """The user showed a token that was mailed to the address."""

    TOPIC = "user.email_verified.v1"
    CATEGORY = "user"


@dataclass(frozen=True, kw_only=True)
class PasswordSet(Event):
    """The user has a new password; it stands nowhere in the log.

    `how` is `registration`, `change` or `reset`.
    """

    TOPIC = "user.password_set.v1"
    CATEGORY = "user"

    how: str


@dataclass(frozen=True, kw_only=True)
class SessionBegan(Event):
    """The user signed in. `how` is what was shown: `password`, `passkey`, or a provider's name.

    Behind a plus stands the second step, where one was taken: `totp` or `recovery_code`.
    """

    TOPIC = "session.began.v1"
    CATEGORY = "session"

    user_id: str
    how: str


@dataclass(frozen=True, kw_only=True)
class SessionEnded(Event):
    """Nothing opens with the session any more.

    `reason` is `signed_out`, `revoked`, `password_set`, or `reuse`: a refresh token was shown a
    second time, so somebody else has it.
    """

    TOPIC = "session.ended.v1"
    CATEGORY = "session"

    user_id: str
    reason: str
