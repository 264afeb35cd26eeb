"""The table of mails that wait, on a connection. All of it blocks, and runs on a lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from cryptography.exceptions import InvalidTag

from event_store.ids import new_uuid7
from providers.mail.port import Mail

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    import psycopg

    from command_api.identity.vault import Vault

    Connection = psycopg.Connection[Any] | psycopg.Cursor[Any]
    Found = tuple[UUID, bytes, Mail]
    """Whom a mail is for: user and wrapped key; and the mail."""
    Maker = Callable[[psycopg.Connection[Any], UUID | None, bytes], Found | None]
    """Finds out what is to be sent to a user, or for a sealed note; None for nothing."""

MAIL, VERIFY, RESET = "mail", "verify", "reset"
"""What waits: a written mail, or the wish for one whose token is made when its turn comes."""
WAITING_MAX = 10_000
"""Most mails that wait; what is more is not kept."""
OF_USER_MAX = 20
LEASE_S = 90
"""How long who took a mail may try to hand it over, before another process tries."""
GIVEN_UP_S = 86_400
UNREADABLE = (InvalidTag, ValueError)
"""Of another secret, or of no secret at all."""
_KEEP = """
INSERT INTO mail_outbox (mail_id, user_id, kind, sealed)
SELECT %(mail)s, u.user_id, %(kind)s, %(sealed)s FROM user_secret u
WHERE u.user_id = %(user)s AND u.wrapped_key IS NOT NULL
AND (SELECT count(*) FROM mail_outbox o WHERE o.user_id = u.user_id) < %(own)s
AND (SELECT count(*) FROM (SELECT FROM mail_outbox LIMIT %(most)s) w) < %(most)s
FOR SHARE OF u
"""
_ASK = """
INSERT INTO mail_outbox (mail_id, kind, sealed) SELECT %(mail)s, %(kind)s, %(sealed)s
WHERE (SELECT count(*) FROM (SELECT FROM mail_outbox LIMIT %(most)s) w) < %(most)s
"""
_LEASE = """
UPDATE mail_outbox o SET tries = o.tries + 1,
  due_at = clock_timestamp() + make_interval(secs => %s)
FROM (SELECT mail_id FROM mail_outbox WHERE due_at <= clock_timestamp()
  ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED) d
WHERE o.mail_id = d.mail_id
RETURNING o.mail_id, o.user_id, o.kind, o.sealed, o.tries,
  o.made_at < clock_timestamp() - make_interval(secs => %s)
"""


class Taken(NamedTuple):
    """A mail that this process tries to hand over; `tries` tells its lease from a later one."""

    mail_id: UUID
    user_id: UUID | None
    kind: str
    sealed: bytes
    tries: int
    over: bool


class Waiting:
    """One for each process."""

    def __init__(self, vault: Vault) -> None:
        """The vault seals."""
        self._vault = vault
        self.makers: Mapping[str, Maker] = {}
        """What makes a mail of a wish, by its kind."""

    def keep(self, connection: Connection, user_id: UUID, wrapped: bytes, mail: Mail) -> None:
        """Keep a mail to a user until it is handed over; nothing where the user left meanwhile."""
        sealed = self._vault.encrypt(bytes(wrapped), msgspec.json.encode(mail))
        self._keep(connection, user_id, MAIL, sealed)

    def wish(self, connection: Connection, user_id: UUID, kind: str) -> None:
        """Keep the wish for a mail to a user."""
        self._keep(connection, user_id, kind, b"")

    def ask(self, connection: Connection, kind: str, note: str) -> None:
        """Keep the wish for a mail to somebody who may be nobody: it takes as long."""
        sealed = self._vault.seal_note(note.encode())
        row = {"mail": new_uuid7(), "kind": kind, "sealed": sealed, "most": WAITING_MAX}
        connection.execute(_ASK, row)

    def _keep(self, connection: Connection, user_id: UUID, kind: str, sealed: bytes) -> None:
        row = {"mail": new_uuid7(), "user": user_id, "kind": kind, "sealed": sealed}
        connection.execute(_KEEP, {**row, "own": OF_USER_MAX, "most": WAITING_MAX})

    def lease(self, connection: psycopg.Connection[Any], most: int) -> list[Taken]:
        """Mails that are due, which no other process takes for `LEASE_S` seconds."""
        rows = connection.execute(_LEASE, [LEASE_S, most, GIVEN_UP_S]).fetchall()
        return [Taken(*row) for row in rows]

    def made(self, connection: psycopg.Connection[Any], taken: Taken) -> Mail | None:
        """The mail itself; None where there is none to send, or nobody can read it any more.

        A wish becomes a mail in one transaction with its token: who dies then has not asked twice.
        """
        if taken.kind == MAIL:
            return self._opened(connection, taken)
        maker = self.makers.get(taken.kind)
        with connection.transaction():
            try:
                found = maker(connection, taken.user_id, bytes(taken.sealed)) if maker else None
            except UNREADABLE:
                return None
            if found is None:
                return None
            user_id, wrapped, mail = found
            sealed = self._vault.encrypt(wrapped, msgspec.json.encode(mail))
            connection.execute(
                "UPDATE mail_outbox SET kind = %s, user_id = %s, sealed = %s WHERE mail_id = %s",
                [MAIL, user_id, sealed, taken.mail_id],
            )
        return mail

    def done(self, connection: psycopg.Connection[Any], taken: Taken) -> None:
        """It is handed over, or never will be."""
        connection.execute("DELETE FROM mail_outbox WHERE mail_id = %s", [taken.mail_id])

    def later(self, connection: psycopg.Connection[Any], taken: Taken, wait_s: float) -> None:
        """Try again after so many seconds, unless another process has taken it meanwhile."""
        connection.execute(
            "UPDATE mail_outbox SET due_at = clock_timestamp() + make_interval(secs => %s) "
            "WHERE mail_id = %s AND tries = %s",
            [wait_s, taken.mail_id, taken.tries],
        )

    def count(self, connection: psycopg.Connection[Any]) -> int:
        """How many wait."""
        row = connection.execute("SELECT count(*) FROM mail_outbox").fetchone()
        return int(row[0]) if row else 0

    def _opened(self, connection: psycopg.Connection[Any], taken: Taken) -> Mail | None:
        row = connection.execute(
            "SELECT wrapped_key FROM user_secret WHERE user_id = %s", [taken.user_id]
        ).fetchone()
        if row is None or row[0] is None:
            return None
        try:
            text = self._vault.decrypt(bytes(row[0]), bytes(taken.sealed))
        except UNREADABLE:
            return None
        return Mail(*msgspec.json.decode(text, type=tuple[str, str, str]))
