"""What is good once and for minutes: second steps, challenges, states. Known by keyed hashes."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag

from edge.errors import unavailable

if TYPE_CHECKING:
    from uuid import UUID

    import psycopg

    from command_api.identity.vault import Vault

SECOND_STEP, NEW_PASSKEY, PASSKEY, STATE, LOGIN_CODE, SHOWN = (
    *("second_step", "new_passkey", "passkey", "state", "login_code", "shown"),
)
"""The purposes; one token serves one of them."""
LIVES_S = {SECOND_STEP: 300, NEW_PASSKEY: 300, PASSKEY: 300, STATE: 600, LOGIN_CODE: 60}
"""How long each is good, seconds."""
OF_USER_MAX = 5
"""Of one purpose and user; the oldest go."""
OF_NOBODY_MAX = 50_000
"""Of people who are not known yet; beyond it nobody begins until some are over."""
TOKEN_BYTES = 32
TIDIED_AT_ONCE = 100


class Note(NamedTuple):
    """What a token stands for."""

    user_id: UUID | None
    said: dict[str, Any]


class Once:
    """One for each process; connections are its caller's."""

    def __init__(self, vault: Vault) -> None:
        """The vault hashes and seals."""
        self._vault = vault

    def give(
        self,
        connection: psycopg.Connection[Any],
        purpose: str,
        user_id: UUID | None = None,
        **said: Any,
    ) -> str:
        """A random token; of more than a user may have the oldest end.

        Raises ApiError 503 where too many are given to people who are not known yet.
        """
        token = secrets.token_urlsafe(TOKEN_BYTES)
        with connection.transaction():
            self._tidy(connection)
            if user_id is None and self._full(connection):
                message = "Too many people begin to sign in at this moment."
                raise unavailable("login_busy", message)
            if user_id is not None:
                connection.execute(
                    "DELETE FROM once WHERE user_id = %s AND purpose = %s AND token_hash NOT IN ("
                    "SELECT token_hash FROM once WHERE user_id = %s AND purpose = %s "
                    "ORDER BY expires_at DESC LIMIT %s)",
                    [user_id, purpose, user_id, purpose, OF_USER_MAX - 1],
                )
            note = self._vault.seal_note(msgspec.json.encode(said))
            connection.execute(
                "INSERT INTO once VALUES "
                "(%s, %s, %s, %s, clock_timestamp() + make_interval(secs => %s))",
                [self._hash(purpose, token), purpose, user_id, note, LIVES_S[purpose]],
            )
        return token

    def look(self, connection: psycopg.Connection[Any], token: str, purpose: str) -> Note | None:
        """What it stands for, while it is good; it stays good."""
        row = connection.execute(
            "SELECT user_id, sealed_note FROM once "
            "WHERE token_hash = %s AND expires_at > clock_timestamp()",
            [self._hash(purpose, token)],
        ).fetchone()
        return self._note(row)

    def spend(self, connection: psycopg.Connection[Any], token: str, purpose: str) -> Note | None:
        """The same, once: of two who spend it at the same time one gets nothing."""
        row = connection.execute(
            "DELETE FROM once WHERE token_hash = %s AND expires_at > clock_timestamp() "
            "RETURNING user_id, sealed_note",
            [self._hash(purpose, token)],
        ).fetchone()
        return self._note(row)

    def first(self, connection: psycopg.Connection[Any], token: str, until_s: float) -> bool:
        """Whether a token of somebody else is shown for the first time; kept until it ends."""
        self._tidy(connection)
        row = connection.execute(
            "INSERT INTO once VALUES (%s, %s, NULL, '', to_timestamp(%s)) "
            "ON CONFLICT (token_hash) DO NOTHING RETURNING true",
            [self._hash(SHOWN, token), SHOWN, until_s],
        ).fetchone()
        return row is not None

    def _note(self, row: tuple[Any, ...] | None) -> Note | None:
        if row is None:
            return None
        try:
            return Note(row[0], msgspec.json.decode(self._vault.open_note(bytes(row[1]))))
        except (InvalidTag, ValueError):
            return None  # Of the secret before.

    def _hash(self, purpose: str, token: str) -> bytes:
        return self._vault.token_hash(f"{purpose}\n{token}")

    @staticmethod
    def _full(connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute(
            "SELECT count(*) FROM (SELECT FROM once WHERE user_id IS NULL AND purpose <> %s "
            "LIMIT %s) n",
            [SHOWN, OF_NOBODY_MAX],
        ).fetchone()
        return row is not None and row[0] >= OF_NOBODY_MAX

    @staticmethod
    def _tidy(connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "DELETE FROM once WHERE token_hash IN (SELECT token_hash FROM once "
            "WHERE expires_at < clock_timestamp() LIMIT %s FOR UPDATE SKIP LOCKED)",
            [TIDIED_AT_ONCE],
        )
