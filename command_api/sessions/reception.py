"""Where every way in ends: with a session, or with the question for a second step.

All methods block, and are called on the lane of the people.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from command_api.sessions.attempts import Attempts
from command_api.sessions.once import LIVES_S, SECOND_STEP, Once
from command_api.sessions.sessions import Sessions
from command_api.sessions.tokens import Tokens

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from command_api.identity.credentials import Known
    from command_api.identity.people import People
    from command_api.mails.outbox import Outbox
    from command_api.sessions.attempts import Limit
    from command_api.sessions.sessions import Pair
    from command_api.settings import Settings
    from providers.mail.port import Mail

Refer = Callable[["UUID", str | None, str], Awaitable[dict[str, Any] | None]]
"""Takes the code by which somebody registered, from an origin; says what became of it."""


class Whence(NamedTuple):
    """Where a request comes from: its origin, as attempts are counted, and its agent."""

    host: str
    agent: str


class SecondStep(NamedTuple):
    """What is given to who has shown the first of two factors."""

    user_id: str
    token: str
    lives_s: int


class Reception:
    """One for each process; several threads may use it at once."""

    def __init__(self, settings: Settings, people: People, outbox: Outbox) -> None:
        """Nothing is connected yet."""
        self.people, self.outbox = people, outbox
        self.tokens = Tokens(people.vault.access_key, settings.sign_in.access_token_s)
        self.attempts, self.once = Attempts(people.vault), Once(people.vault)
        self._days = settings.sign_in.session_days

    def open(self) -> None:
        """The people are connected."""
        people = self.people
        self.sessions = Sessions(people.events, people.vault, self.tokens, self._days)

    def count(self, limit: Limit, *who: str) -> None:
        """One more attempt; raises ApiError 429."""
        with self.people.connect() as connection:
            self.attempts.count(connection, limit, *who)

    def admit(
        self,
        connection: psycopg.Connection[Any],
        known: Known,
        how: str,
        whence: Whence,
        *,
        whole: bool = False,
    ) -> Pair | SecondStep:
        """A session, unless the user wants a second step and `whole` does not say it was taken."""
        if known.totp_on and not whole:
            token = self.once.give(connection, SECOND_STEP, known.user_id, how=how)
            return SecondStep(str(known.user_id), token, LIVES_S[SECOND_STEP])
        address = self.people.credentials.address_of(connection, known)
        self.attempts.succeeded(connection, whence.host, address, known.user_id)
        return self.sessions.begin(connection, known, how=how, host=whence.host, agent=whence.agent)

    def tell(self, connection: psycopg.Connection[Any], known: Known, mail: Mail) -> None:
        """A mail to a user, kept until it is handed over."""
        self.outbox.waiting.keep(connection, known.user_id, bytes(known.wrapped_key), mail)
        self.outbox.wake()

    def known(self, connection: psycopg.Connection[Any], user_id: UUID) -> tuple[Known, str]:
        """A user who has not left, and the address; raises ApiError 401."""
        known = self.people.known(connection, user_id)
        return known, self.people.credentials.address_of(connection, known)
