"""Customers' statements that were issued: a number without gaps for an issuer, once for a month.

A number is given in the transaction that writes its row, under the lock of the issuer's row: a
transaction that fails gives none, and two at once wait for each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg

    Connection = psycopg.Connection[Any]

ZONE_CHARACTERS_MAX = 64
_COLUMNS = "issuer, number, account_id, month, zone, begins, ends, issued_at, issued_by"


ZONES_MAX = 1_000
_ZONES: set[str] = set()
"""Zones that a database knew; there are some 600 of them."""


_BOUNDS = (
    "SELECT (%(day)s::timestamp) AT TIME ZONE name, "
    "(%(day)s::timestamp + interval '1 month') AT TIME ZONE name, "
    "(%(day)s::timestamp + interval '1 month') AT TIME ZONE name <= booking_clock() FROM "
)
_BOUNDS_IN_ANY = _BOUNDS + "pg_timezone_names WHERE name = %(zone)s"
_BOUNDS_IN_KNOWN = _BOUNDS + "(SELECT %(zone)s::text AS name) AS zone"


class Issued(NamedTuple):
    """A statement: whose, of what was booked from `begins` on and before `ends`."""

    issuer: str
    number: int
    account_id: UUID
    month: str
    zone: str
    begins: datetime
    ends: datetime
    issued_at: datetime
    issued_by: str


class Wanted(NamedTuple):
    """A statement that is to be issued, of a month in a zone."""

    issuer: str
    account_id: UUID
    month: str
    zone: str
    issued_by: str


def _take_turn(connection: Connection, issuer: str) -> None:
    """Until the transaction ends nobody else gives numbers of this issuer."""
    connection.execute(
        "INSERT INTO statement_issuer (issuer) VALUES (%s) ON CONFLICT DO NOTHING", [issuer]
    )
    connection.execute("SELECT FROM statement_issuer WHERE issuer = %s FOR UPDATE", [issuer])


def issue(connection: Connection, wanted: Wanted) -> tuple[Issued, bool]:
    """The statement of an account for a month, and whether it is new.

    Raises InvalidCommandError for a zone that the database does not know or that is not the one of
    the account's other statements, and for a month that is not over there.
    """
    begins, ends, over = _bounds(connection, wanted)
    with connection.transaction():
        _take_turn(connection, wanted.issuer)
        others = connection.execute(
            f"SELECT {_COLUMNS} FROM issued_statement WHERE issuer = %s AND account_id = %s "
            "ORDER BY month = %s DESC LIMIT 1",
            [wanted.issuer, wanted.account_id, wanted.month],
        ).fetchall()
        known = [Issued(*row) for row in others]
        if known and known[0].zone != wanted.zone:
            message = f"the statements of this account are of months in {known[0].zone}"
            raise InvalidCommandError(message)
        if known and known[0].month == wanted.month:
            return known[0], False
        if not over:
            message = f"{wanted.month} is not over in {wanted.zone} before {ends.isoformat()}"
            raise InvalidCommandError(message)
        row = connection.execute(
            "WITH next AS (UPDATE statement_issuer SET last_number = last_number + 1 "
            "WHERE issuer = %s RETURNING last_number) "
            "INSERT INTO issued_statement (issuer, number, account_id, month, zone, begins, ends, "
            "issued_by) SELECT %s, last_number, %s, %s, %s, %s, %s, %s FROM next "
            f"RETURNING {_COLUMNS}",
            [
                wanted.issuer,
                *(wanted.issuer, wanted.account_id, wanted.month, wanted.zone, begins, ends),
                wanted.issued_by,
            ],
        ).fetchone()
        assert row is not None
        return Issued(*row), True


_KNOWN_IN_OTHER_ZONE = (
    "SELECT account_id, zone FROM issued_statement "
    "WHERE issuer = %(issuer)s AND account_id = ANY (%(accounts)s) AND zone <> %(zone)s LIMIT 1"
)
_ISSUE_MANY = """
WITH wanted AS (
  SELECT u.account_id, row_number() OVER (ORDER BY u.place) AS place
  FROM unnest(%(accounts)s::uuid[]) WITH ORDINALITY AS u (account_id, place)
  WHERE NOT EXISTS (SELECT FROM issued_statement i WHERE i.issuer = %(issuer)s
    AND i.account_id = u.account_id AND i.month = %(month)s)
), moved AS (
  UPDATE statement_issuer SET last_number = last_number + (SELECT count(*) FROM wanted)
  WHERE issuer = %(issuer)s RETURNING last_number - (SELECT count(*) FROM wanted) AS before
)
INSERT INTO issued_statement
  (issuer, number, account_id, month, zone, begins, ends, issued_by)
SELECT %(issuer)s, before + place, account_id, %(month)s, %(zone)s, %(begins)s, %(ends)s, %(by)s
FROM wanted, moved
"""


def issue_many(connection: Connection, wanted: Wanted, accounts: Sequence[UUID]) -> int:
    """The statements of many accounts, each named once, for the month that is wanted of one.

    Numbered in their order by one transaction, all or none; returns how many are new. Raises
    InvalidCommandError as `issue` does.
    """
    begins, ends, over = _bounds(connection, wanted)
    given = {
        "issuer": wanted.issuer,
        "accounts": list(accounts),
        "month": wanted.month,
        "zone": wanted.zone,
        "begins": begins,
        "ends": ends,
        "by": wanted.issued_by,
    }
    with connection.transaction():
        _take_turn(connection, wanted.issuer)
        other = connection.execute(_KNOWN_IN_OTHER_ZONE, given).fetchone()
        if other is not None:
            message = f"the statements of account {other[0]} are of months in {other[1]}"
            raise InvalidCommandError(message)
        new = connection.execute(_ISSUE_MANY, given).rowcount
        if new and not over:
            message = f"{wanted.month} is not over in {wanted.zone} before {ends.isoformat()}"
            raise InvalidCommandError(message)
    return new


def read_issued(
    connection: Connection,
    issuer: str,
    *,
    account_id: UUID | None = None,
    number: int | None = None,
    month: str | None = None,
    after: int = 0,
    limit: int = 1,
) -> list[Issued]:
    """Statements by number, from behind one on; of an account, a month, or all."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM issued_statement WHERE issuer = %s AND number > %s "
        "AND (%s::uuid IS NULL OR account_id = %s) AND (%s::bigint IS NULL OR number = %s) "
        "AND (%s::text IS NULL OR month = %s) ORDER BY number LIMIT %s",
        [issuer, after, account_id, account_id, number, number, month, month, limit],
    ).fetchall()
    return [Issued(*row) for row in rows]


def _bounds(connection: Connection, wanted: Wanted) -> tuple[datetime, datetime, bool]:
    """Both ends of a month in a zone, and whether it is over by the append's clock."""
    unknown = InvalidCommandError(
        f"there is no time zone {wanted.zone[:64]!r}: name one such as Europe/Berlin"
    )
    if not wanted.zone.isprintable() or len(wanted.zone) > ZONE_CHARACTERS_MAX:
        raise unknown
    # The database reads a file for each of its zones to list their names: once for each is enough.
    row = connection.execute(
        _BOUNDS_IN_KNOWN if wanted.zone in _ZONES else _BOUNDS_IN_ANY,
        {"day": f"{wanted.month}-01", "zone": wanted.zone},
    ).fetchone()
    if row is None:
        raise unknown
    if len(_ZONES) < ZONES_MAX:
        _ZONES.add(wanted.zone)
    return row[0], row[1], row[2]
