"""What the commands do to the database: all of it blocks, and runs on a lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.identity.credentials import RESET, VERIFY
from command_api.identity.users import password_set
from command_api.sign_in import mails
from command_api.sign_in.attempts import RESETS_OF_ADDRESS, Attempts
from command_api.sign_in.sessions import Sessions
from domain.errors import InvalidCommandError
from domain.events.sign_in import EmailVerified
from edge.errors import ApiError, bad_request
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.identity.credentials import Known
    from command_api.identity.people import People
    from command_api.identity.users import NewUser, Registration
    from command_api.settings import Settings
    from command_api.sign_in.attempts import Limit
    from command_api.sign_in.sessions import Pair
    from command_api.sign_in.tokens import Shown, Tokens
    from edge.caller import Caller
    from providers.mail.port import Mail


class Store:
    """One for each process; several threads may use it at once."""

    def __init__(self, settings: Settings, people: People, tokens: Tokens) -> None:
        """Nothing is connected yet."""
        self._people, self._public_url = people, settings.mail.public_url
        self._attempts, self._credentials = Attempts(people.vault), people.credentials
        self._tokens, self._days = tokens, settings.sign_in.session_days

    def open(self) -> None:
        """The people are connected."""
        self._sessions = Sessions(self._people.events, self._people.vault, self._tokens, self._days)

    def count(self, limit: Limit, *who: str) -> None:
        """One more attempt; raises ApiError 429."""
        with self._people.connect() as connection:
            self._attempts.count(connection, limit, *who)

    def create(self, address: str, wanted: Registration, hashed: str | None) -> NewUser:
        """A user; raises ApiError 400 where the address or the name is taken."""
        try:
            return self._people.users.create_user(address, wanted, password_hash=hashed)
        except InvalidCommandError as error:
            raise bad_request("already_registered", sentence(error)) from None

    def asked(self, email: str, host: str) -> tuple[Known | None, str | None]:
        """Who wants to sign in, and the password's hash; raises ApiError 429."""
        with self._people.connect() as connection:
            known = self._credentials.by_email(connection, email)
            user_id = None if known is None else known.user_id
            self._attempts.sign_in(connection, host, email, user_id)
        return known, None if known is None else self._credentials.password_of(known)

    def asked_again(self, user_id: UUID, host: str) -> tuple[Known, str | None, str]:
        """The same of somebody who has signed in, and the address; raises ApiError 401 or 429."""
        with self._people.connect() as connection:
            known = self._people.known(connection, user_id)
            address = self._credentials.address_of(connection, known)
            self._attempts.sign_in(connection, host, address, user_id)
        return known, self._credentials.password_of(known), address

    def begin(self, known: Known, email: str, host: str, agent: str) -> Pair:
        """A session of somebody who has shown a password."""
        with self._people.connect() as connection:
            self._attempts.succeeded(connection, host, email, known.user_id)
            return self._sessions.begin(connection, known, how="password", host=host, agent=agent)

    def refresh(self, token: str) -> Pair:
        """The next pair of tokens; raises ApiError 401."""
        with self._people.connect() as connection:
            return self._sessions.refresh(connection, token)

    def caller(self, shown: Shown) -> Caller:
        """Who calls with an access token; raises ApiError 401."""
        with self._people.connect() as connection:
            return self._sessions.caller(connection, *shown)

    def sessions_of(self, user_id: UUID, current: str) -> list[dict[str, Any]]:
        """The user's living sessions."""
        with self._people.connect() as connection:
            return self._sessions.listed(
                connection, self._people.known(connection, user_id), current
            )

    def end(self, user_id: UUID, session: UUID) -> None:
        """End one of the user's sessions; raises ApiError 404."""
        with self._people.connect() as connection:
            self._sessions.end(connection, user_id, session)

    def end_all(self, user_id: UUID) -> int:
        """End all of the user's sessions; returns how many."""
        with self._people.connect() as connection:
            return self._sessions.end_all(connection, user_id, "signed_out")

    def rehash(self, known: Known, hashed: str) -> None:
        """Keep the password's hash anew, unless the password was changed meanwhile."""
        sealed = self._credentials.sealed(known, hashed)
        with self._people.connect() as connection:
            connection.execute(
                "UPDATE user_secret SET sealed_password = %s "
                "WHERE user_id = %s AND sealed_password = %s",
                [sealed, known.user_id, known.sealed_password],
            )

    def verify(self, token: str) -> Known:
        """The address of the token's owner is verified; raises ApiError 400."""
        with self._people.connect() as connection:
            user_id = self._credentials.owner_of(connection, token, VERIFY)
            if user_id is None:
                raise bad_token()
            known = self._people.known(connection, user_id)
        if not known.verified:
            self._people.tell(
                user_id,
                lambda version: [
                    EmailVerified(
                        originator_id=user_id,
                        originator_version=version,
                        **new_envelope(f"user:{user_id}"),
                    )
                ],
            )
        return known

    def verified(self, token: str) -> None:
        """The token is good no more."""
        with self._people.connect() as connection:
            self._credentials.spend(connection, token, VERIFY)

    def verification_mail(self, user_id: UUID) -> Mail | None:
        """The mail with a token; None where none is needed, or too many were sent."""
        with self._people.connect() as connection:
            known = self._credentials.by_id(connection, user_id)
            if known is None or known.verified:
                return None
            address = self._credentials.address_of(connection, known)
            if not self._attempts.within(connection, RESETS_OF_ADDRESS, "verify", address):
                return None
            token = self._credentials.new_token(connection, user_id, VERIFY)
        return mails.verification(address, token, self._public_url)

    def reset_mail(self, email: str) -> Mail | None:
        """The mail with a token; None for an unknown address, or where too many were sent."""
        with self._people.connect() as connection:
            if not self._attempts.within(connection, RESETS_OF_ADDRESS, "reset", email):
                return None
            known = self._credentials.by_email(connection, email)
            if known is None:
                return None
            address = self._credentials.address_of(connection, known)
            token = self._credentials.new_token(connection, known.user_id, RESET)
        return mails.password_reset(address, token, self._public_url)

    def owner_of_reset(self, token: str) -> tuple[Known, str]:
        """Whose password a token sets, and the address; raises ApiError 400."""
        with self._people.connect() as connection:
            user_id = self._credentials.owner_of(connection, token, RESET)
            if user_id is None:
                raise bad_token()
            known = self._people.known(connection, user_id)
            return known, self._credentials.address_of(connection, known)

    def reset(self, known: Known, token: str, hashed: str) -> None:
        """The new password for the token, which is good no more; raises ApiError 400."""
        with self._people.connect() as connection:
            if self._credentials.spend(connection, token, RESET) is None:
                raise bad_token()
        self.set_password(known, hashed, how="reset", keep=None)

    def set_password(self, known: Known, hashed: str, *, how: str, keep: str | None) -> None:
        """The password, its event, and the end of all sessions that the old one opened."""
        user_id, sealed = known.user_id, self._credentials.sealed(known, hashed)
        self._people.tell(
            user_id,
            lambda version: [
                password_set(user_id, version, new_envelope(f"user:{user_id}"), how=how)
            ],
            "UPDATE user_secret SET sealed_password = %s WHERE user_id = %s",
            [sealed, user_id],
        )
        with self._people.connect() as connection:
            self._sessions.end_all(connection, user_id, "password_set", keep)


def sentence(error: InvalidCommandError) -> str:
    """What the domain says, as callers read it."""
    said = str(error)
    return f"{said[:1].upper()}{said[1:]}."


def bad_token() -> ApiError:
    """A 400 for a mailed token that nobody has, or that was used or is over."""
    message = "This token is not good, or not any more: ask for another mail."
    return bad_request("invalid_mail_token", message, "token")
