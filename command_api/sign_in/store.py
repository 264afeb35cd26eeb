"""What the commands do to the database: all of it blocks, and runs on a lane."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from command_api.identity.credentials import RESET, VERIFY
from command_api.identity.users import password_set
from command_api.mails import texts
from command_api.mails.waiting import RESET as RESET_MAIL
from command_api.mails.waiting import VERIFY as VERIFY_MAIL
from command_api.sessions.attempts import RESETS_OF_ADDRESS
from domain.errors import InvalidCommandError
from domain.events.second_factors import IdentityUnlinked, SecondFactorsReset
from domain.events.sign_in import EmailVerified
from domain.identity.addresses import comparable, person_of
from edge.errors import ApiError, bad_request, sentence
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    import psycopg
    from psycopg import Cursor
    from psycopg.rows import DictRow

    from command_api.identity.credentials import Known
    from command_api.identity.users import NewUser, Registration
    from command_api.mails.waiting import Found
    from command_api.sessions.attempts import Limit
    from command_api.sessions.reception import Reception, SecondStep, Whence
    from command_api.sessions.sessions import Pair, Sessions
    from command_api.sessions.tokens import Shown
    from domain.events.base import Event
    from edge.caller import Caller


class Store:
    """One for each process; several threads may use it at once."""

    def __init__(self, reception: Reception, public_url: str | None) -> None:
        """Nothing is connected yet."""
        self._reception, self._people = reception, reception.people
        self._attempts, self._credentials = reception.attempts, reception.people.credentials
        self._waiting, self._public_url = reception.outbox.waiting, public_url

    @property
    def _sessions(self) -> Sessions:
        return self._reception.sessions

    def count(self, limit: Limit, *who: str) -> None:
        """One more attempt; raises ApiError 429."""
        with self._people.connect() as connection:
            self._attempts.count(connection, limit, *who)

    def create(self, address: str, wanted: Registration, hashed: str | None) -> NewUser:
        """A user; raises ApiError 400 where the address or the name is taken."""
        try:
            return self._people.users.create_user(
                address,
                wanted,
                password_hash=hashed,
                also=lambda cursor, user_id, _: self._waiting.wish(cursor, user_id, VERIFY_MAIL),
            )
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

    def begin(self, known: Known, whence: Whence) -> Pair | SecondStep:
        """What somebody gets who has shown a password."""
        with self._people.connect() as connection:
            return self._reception.admit(connection, known, "password", whence)

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

    def first_trial(self, account_id: UUID) -> bool:
        """Whether the person behind an account's address had no trial by another account.

        Of two accounts of one person that are verified at once, one is the first.
        """
        with self._people.connect() as connection:
            row = connection.execute(
                "SELECT user_id FROM user_secret WHERE account_id = %s", [account_id]
            ).fetchone()
            if row is None:
                return False
            known = self._people.known(connection, row[0])
            person = person_of(self._credentials.address_of(connection, known))
            row = connection.execute(
                "INSERT INTO trial_person AS t (person, account_id) VALUES (%s, %s) "
                "ON CONFLICT (person) DO UPDATE SET person = t.person RETURNING t.account_id",
                [self._people.vault.pseudonym("trial", person), account_id],
            ).fetchone()
        return row is not None and row[0] == account_id

    def wish_verification(self, user_id: UUID) -> None:
        """A mail with a token, in its turn."""
        with self._people.connect() as connection:
            self._waiting.wish(connection, user_id, VERIFY_MAIL)

    def ask_reset(self, email: str) -> None:
        """The same for whoever has this address: it is looked up in its turn, not before."""
        with self._people.connect() as connection:
            self._waiting.ask(connection, RESET_MAIL, email)

    def verification_mail(
        self, connection: psycopg.Connection[Any], user_id: UUID | None, _: bytes
    ) -> Found | None:
        """The mail with a token; None where none is needed, or too many were sent."""
        known = None if user_id is None else self._credentials.by_id(connection, user_id)
        if known is None or known.verified:
            return None
        address = self._credentials.address_of(connection, known)
        if not self._attempts.within(connection, RESETS_OF_ADDRESS, "verify", address):
            return None
        token = self._credentials.new_token(connection, known.user_id, VERIFY)
        mail = texts.verification(address, token, self._public_url)
        return known.user_id, bytes(known.wrapped_key), mail

    def reset_mail(
        self, connection: psycopg.Connection[Any], _: UUID | None, sealed: bytes
    ) -> Found | None:
        """The mail with a token; None for an unknown address, or where too many were sent.

        Raises InvalidTag for what was asked under another secret.
        """
        email = self._people.vault.open_note(sealed).decode()
        if not self._attempts.within(connection, RESETS_OF_ADDRESS, "reset", comparable(email)):
            return None
        known = self._credentials.by_email(connection, email)
        if known is None:
            return None
        address = self._credentials.address_of(connection, known)
        token = self._credentials.new_token(connection, known.user_id, RESET)
        mail = texts.password_reset(address, token, self._public_url)
        return known.user_id, bytes(known.wrapped_key), mail

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
        strangers = self._strangers(known) if how == "reset" else []
        self._people.tell(
            user_id,
            lambda version: [
                password_set(user_id, version, new_envelope(f"user:{user_id}"), how=how),
                *(each(version + place) for place, each in enumerate(strangers, 1)),
            ],
            "UPDATE user_secret SET sealed_password = %s WHERE user_id = %s",
            [sealed, user_id],
            also=self._changed(known),
        )
        with self._people.connect() as connection:
            self._sessions.end_all(connection, user_id, "password_set", keep)

    def _strangers(self, known: Known) -> list[Callable[[int], Event]]:
        """What ends the ways in of whoever registered an address that was not theirs.

        Nobody had shown that the address was theirs before the mail that sets this password.
        """
        if known.verified:
            return []
        user_id = known.user_id
        with self._people.connect() as connection:
            linked = connection.execute(
                "SELECT provider FROM linked_identity WHERE user_id = %s", [user_id]
            ).fetchall()
        gone: list[Callable[[int], Event]] = [
            lambda version: SecondFactorsReset(
                originator_id=user_id,
                originator_version=version,
                **new_envelope(f"user:{user_id}"),
                reason="the address was not verified before the password was reset",
            )
        ]
        return gone + [partial(_unlinked, user_id, name) for (name,) in linked]

    def _changed(self, known: Known) -> Callable[[Cursor[DictRow]], object]:
        """Tells the owner, and ends second steps that the old password opened."""
        with self._people.connect() as connection:
            address = self._credentials.address_of(connection, known)
        wrapped, mail = bytes(known.wrapped_key), texts.password_changed(address)

        def write(cursor: Cursor[DictRow]) -> None:
            cursor.execute("DELETE FROM once WHERE user_id = %s", [known.user_id])
            self._waiting.keep(cursor, known.user_id, wrapped, mail)

        return write


def _unlinked(user_id: UUID, provider: str, version: int) -> Event:
    return IdentityUnlinked(
        originator_id=user_id,
        originator_version=version,
        **new_envelope(f"user:{user_id}"),
        provider=provider,
    )


def bad_token() -> ApiError:
    """A 400 for a mailed token that nobody has, or that was used or is over."""
    message = "This token is not good, or not any more: ask for another mail."
    return bad_request("invalid_mail_token", message, "token")
