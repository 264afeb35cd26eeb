"""What is stored of people who sign in, on a connection: credentials and mailed tokens."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.identity import UserRegistered
from domain.events.profile import EmailChanged

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from command_api.identity.vault import Vault

VERIFY, RESET = "verify", "reset"
LIVES_S = {VERIFY: 86_400, RESET: 3_600}
"""How long a mailed token is good, by purpose, seconds."""
TOKENS_MAX = 3
"""Tokens of one purpose that a user may have at once; the oldest go."""
TOKEN_BYTES = 32


class Known(NamedTuple):
    """A user as signing in needs them."""

    user_id: UUID
    account_id: UUID
    wrapped_key: bytes
    sealed_password: bytes | None
    sealed_profile: bytes | None
    verified: bool
    sealed_totp: bytes | None
    totp_on: bool


_KNOWN = (
    "SELECT user_id, account_id, wrapped_key, sealed_password, sealed_profile, email_verified, "
    "sealed_totp, totp_on "
    "FROM user_secret WHERE wrapped_key IS NOT NULL AND "
)


class Credentials:
    """Reads and writes them; one for each process. All of it is sealed or hashed (P5)."""

    def __init__(self, vault: Vault) -> None:
        """The vault seals."""
        self._vault = vault

    def by_email(self, connection: psycopg.Connection[Any], email: str) -> Known | None:
        """The user with an address."""
        condition = _KNOWN + "email_hash = %s"
        row = connection.execute(condition, [self._vault.email_hash(email)]).fetchone()
        return None if row is None else Known(*row)

    def by_id(self, connection: psycopg.Connection[Any], user_id: UUID) -> Known | None:
        """The user with an id."""
        row = connection.execute(_KNOWN + "user_id = %s", [user_id]).fetchone()
        return None if row is None else Known(*row)

    def password_of(self, known: Known) -> str | None:
        """The hash of the password, where there is one."""
        sealed = known.sealed_password
        return None if sealed is None else self.opened(known, sealed)

    def sealed(self, known: Known, text: str) -> bytes:
        """Sealed with the user's own data key."""
        return self._vault.encrypt(bytes(known.wrapped_key), text.encode())

    def address_of(self, connection: psycopg.Connection[Any], known: Known) -> str:
        """The address, which stands in the log alone, encrypted."""
        row = connection.execute(
            "SELECT state FROM events WHERE originator_id = %s AND topic = ANY(%s) "
            "ORDER BY originator_version DESC LIMIT 1",
            [known.user_id, [UserRegistered.TOPIC, EmailChanged.TOPIC]],
        ).fetchone()
        assert row is not None, "a user without a registration"
        return self.opened(
            known, bytes.fromhex(msgspec.json.decode(bytes(row[0]))["email_ciphertext"])
        )

    def opened(self, known: Known, sealed: bytes) -> str:
        """The contrary of `sealed`."""
        return self._vault.decrypt(bytes(known.wrapped_key), bytes(sealed)).decode()

    def new_token(self, connection: psycopg.Connection[Any], user_id: UUID, purpose: str) -> str:
        """A token to be mailed; of more than `TOKENS_MAX` the oldest are good no more."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with connection.transaction():
            connection.execute(
                "DELETE FROM mail_token WHERE user_id = %s AND purpose = %s AND token_hash NOT IN ("
                "SELECT token_hash FROM mail_token WHERE user_id = %s AND purpose = %s "
                "AND expires_at > clock_timestamp() ORDER BY expires_at DESC LIMIT %s)",
                [user_id, purpose, user_id, purpose, TOKENS_MAX - 1],
            )
            connection.execute(
                "INSERT INTO mail_token VALUES "
                "(%s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
                [self._vault.token_hash(token), user_id, purpose, LIVES_S[purpose]],
            )
        return token

    def owner_of(
        self, connection: psycopg.Connection[Any], token: str, purpose: str
    ) -> UUID | None:
        """Whose a token is while it is good; it stays good."""
        row = connection.execute(
            "SELECT user_id FROM mail_token "
            "WHERE token_hash = %s AND purpose = %s AND expires_at > clock_timestamp()",
            [self._vault.token_hash(token), purpose],
        ).fetchone()
        return None if row is None else row[0]

    def spend(self, connection: psycopg.Connection[Any], token: str, purpose: str) -> UUID | None:
        """The same, once: of two who spend it at the same time one gets nothing."""
        row = connection.execute(
            "DELETE FROM mail_token "
            "WHERE token_hash = %s AND purpose = %s AND expires_at > clock_timestamp() "
            "RETURNING user_id",
            [self._vault.token_hash(token), purpose],
        ).fetchone()
        return None if row is None else row[0]
