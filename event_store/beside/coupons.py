"""Coupons and their uses beside the log: what their events change there, and reading.

Written in the transaction of the events, so what is read here is what the streams say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.coupons.coupon import Coupon
from domain.events.offers.coupons import (
    CouponChanged,
    CouponCreated,
    CouponDeactivated,
    CouponRedeemed,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Connection = psycopg.Connection[Any]
    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

LISTED_MAX = 1_000
"""Most rows of one list."""
_LOGGED = "FROM events e WHERE e.originator_id = %(stream)s AND e.originator_version = %(version)s"


def _apply(*statements: str) -> Handler:
    """A handler that executes statements with the fact's members."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        own = {"stream": stored.originator_id, "version": stored.originator_version}
        for statement in statements:
            cursor.execute(statement.encode(), {**fact, **own})

    return handle


def _changed(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    after = msgspec.json.decode(stored.state)["after"]
    cursor.execute(
        "UPDATE coupon SET version = %(version)s, active = coalesce(%(active)s, active), "
        "max_uses = coalesce(%(max_uses)s, max_uses), "
        "valid_until = coalesce(%(valid_until)s::timestamptz, valid_until), "
        "description = coalesce(%(description)s, description) WHERE coupon_id = %(stream)s",
        {
            **dict.fromkeys(("active", "max_uses", "valid_until", "description")),
            **after,
            "stream": stored.originator_id,
            "version": stored.originator_version,
        },
    )


HANDLERS: Mapping[str, Handler] = {
    CouponCreated.TOPIC: _apply(
        "INSERT INTO coupon (coupon_id, version, code, value, scope, kind, max_uses, valid_from, "
        "valid_until, assigned_to, description, created_by, created_at) SELECT %(stream)s, "
        "%(version)s, %(code)s, %(value_nano_usd)s, %(scope)s, %(kind)s, %(max_uses)s, "
        "%(valid_from)s, %(valid_until)s, %(assigned_to_user_id)s, %(description)s, "
        f"%(by_user_id)s, e.booked_at {_LOGGED}"
    ),
    CouponChanged.TOPIC: _changed,
    CouponDeactivated.TOPIC: _apply(
        "UPDATE coupon SET active = false, version = %(version)s WHERE coupon_id = %(stream)s"
    ),
    CouponRedeemed.TOPIC: _apply(
        "UPDATE coupon SET times_used = times_used + 1, version = %(version)s "
        "WHERE coupon_id = %(stream)s",
        "INSERT INTO coupon_use (coupon_id, user_id, account_id, lot_id, value, position, "
        "redeemed_at) SELECT %(stream)s, %(user_id)s, %(account_id)s, %(lot_id)s, "
        f"%(value_nano_usd)s, e.notification_id, e.booked_at {_LOGGED}",
    ),
}


class StoredCoupon(NamedTuple):
    """A coupon, and what only the table knows of it."""

    state: Coupon
    created_by: UUID | None
    created_at: datetime
    now: str
    """The instant of the reading, by the database's clock, as events write it."""


class Use(NamedTuple):
    """A use of a coupon; `value` in nano-USD."""

    coupon_id: UUID
    code: str
    scope: str
    kind: str
    user_id: UUID
    account_id: UUID
    lot_id: UUID
    value: int
    position: int
    redeemed_at: datetime


_COUPON = (
    "SELECT c.coupon_id, c.version, c.code, c.value, c.scope, c.kind, c.max_uses, "
    "iso_instant(c.valid_from), iso_instant(c.valid_until), c.assigned_to::text, c.description, "
    "c.active, c.times_used, c.created_by, c.created_at, iso_instant(booking_clock()) "
    "FROM coupon c WHERE "
)
_MEMBERS = (
    *("id", "version", "code", "value_nano_usd", "scope", "kind", "max_uses", "valid_from"),
    *("valid_until", "assigned_to_user_id", "description", "active", "times_used"),
)
_OPEN = (
    "g.times_used < g.max_uses AND g.valid_from <= booking_clock() "
    "AND g.valid_until > booking_clock() AND NOT EXISTS (SELECT FROM coupon_use u "
    "WHERE u.coupon_id = g.coupon_id AND u.user_id = %(user)s) "
    "ORDER BY g.valid_until, g.coupon_id LIMIT %(limit)s"
)
"""What the user could redeem, on an index of those that are for everybody, or for this user."""
_WANTED = (
    "(%(scope)s::text IS NULL OR c.scope = %(scope)s) "
    "AND (%(kind)s::text IS NULL OR c.kind = %(kind)s) "
    "AND (%(active)s::boolean IS NULL OR c.active = %(active)s)"
)
_USE = (
    "SELECT u.coupon_id, c.code, c.scope, c.kind, u.user_id, u.account_id, u.lot_id, u.value, "
    "u.position, u.redeemed_at FROM coupon_use u JOIN coupon c USING (coupon_id) WHERE "
)


def _coupon_of(row: Sequence[Any]) -> StoredCoupon:
    count = len(_MEMBERS)
    return StoredCoupon(Coupon(**dict(zip(_MEMBERS, row[:count], strict=True))), *row[count:])


def coupon_of_code(connection: Connection, code: str) -> StoredCoupon | None:
    """The coupon of a code in its one writing."""
    row = connection.execute(f"{_COUPON} c.code = %s".encode(), [code]).fetchone()
    return None if row is None else _coupon_of(row)


def coupon_of_id(connection: Connection, coupon_id: UUID) -> StoredCoupon | None:
    """One coupon."""
    row = connection.execute(f"{_COUPON} c.coupon_id = %s".encode(), [coupon_id]).fetchone()
    return None if row is None else _coupon_of(row)


def read_coupons(
    connection: Connection,
    *,
    scope: str | None = None,
    kind: str | None = None,
    active: bool | None = None,
    limit: int = LISTED_MAX,
    offset: int = 0,
) -> tuple[list[StoredCoupon], int]:
    """Coupons, newest first, and how many there are of them in all."""
    values = {
        "scope": scope,
        "kind": kind,
        "active": active,
        "limit": min(limit, LISTED_MAX),
        "offset": offset,
    }
    rows = connection.execute(
        f"{_COUPON} {_WANTED} ORDER BY c.coupon_id DESC LIMIT %(limit)s OFFSET %(offset)s".encode(),
        values,
    ).fetchall()
    ((total,),) = connection.execute(
        f"SELECT count(*) FROM coupon c WHERE {_WANTED}".encode(), values
    ).fetchall()
    return [_coupon_of(row) for row in rows], total


def available_coupons(connection: Connection, user_id: UUID, limit: int) -> list[StoredCoupon]:
    """What a user could redeem now, what ends first first."""
    rows = connection.execute(
        f"{_COUPON} c.coupon_id IN ((SELECT g.coupon_id FROM coupon g WHERE g.active "
        f"AND g.assigned_to IS NULL AND {_OPEN}) UNION ALL (SELECT g.coupon_id FROM coupon g "
        f"WHERE g.active AND g.assigned_to = %(user)s AND {_OPEN})) "
        "ORDER BY c.valid_until, c.coupon_id LIMIT %(limit)s".encode(),
        {"user": user_id, "limit": limit},
    ).fetchall()
    return [_coupon_of(row) for row in rows]


def has_redeemed(connection: Connection, coupon_id: UUID, user_id: UUID) -> bool:
    """Whether a user has used a coupon."""
    row = connection.execute(
        "SELECT FROM coupon_use WHERE coupon_id = %s AND user_id = %s", [coupon_id, user_id]
    ).fetchone()
    return row is not None


def uses_of(connection: Connection, user_id: UUID, limit: int) -> list[Use]:
    """A user's uses, newest first."""
    rows = connection.execute(
        f"{_USE} u.user_id = %s ORDER BY u.position DESC LIMIT %s".encode(), [user_id, limit]
    ).fetchall()
    return [Use(*row) for row in rows]


def use_of_lot(connection: Connection, lot_id: UUID) -> Use:
    """The use that gives a lot, which must be there."""
    row = connection.execute(f"{_USE} u.lot_id = %s".encode(), [lot_id]).fetchone()
    assert row is not None
    return Use(*row)


def totals_of(connection: Connection, user_id: UUID) -> tuple[int, int]:
    """How many uses a user has made, and what all were worth, nano-USD."""
    ((count, value),) = connection.execute(
        "SELECT count(*), coalesce(sum(value), 0)::bigint FROM coupon_use WHERE user_id = %s",
        [user_id],
    ).fetchall()
    return count, value


def waiting_uses(connection: Connection, limit: int, user_id: UUID | None = None) -> list[Use]:
    """Uses of which it is not known yet that their credits were granted, oldest first."""
    rows = connection.execute(
        f"{_USE} NOT u.granted AND (%(user)s::uuid IS NULL OR u.user_id = %(user)s) "
        "ORDER BY u.position LIMIT %(limit)s".encode(),
        {"user": user_id, "limit": limit},
    ).fetchall()
    return [Use(*row) for row in rows]


def note_granted(connection: Connection, lot_id: UUID) -> None:
    """The credits of a use stand on its account."""
    connection.execute("UPDATE coupon_use SET granted = true WHERE lot_id = %s", [lot_id])


class Overview(NamedTuple):
    """All coupons counted; `value` is what all uses were worth, nano-USD."""

    total: int
    active: int
    user_specific: int
    everybodys: int
    uses: int
    users: int
    value: int


def read_overview(connection: Connection) -> Overview:
    """One pass over coupons and uses, which a statement's time-out bounds."""
    row = connection.execute(
        "SELECT count(*), count(*) FILTER (WHERE active AND times_used < max_uses "
        "AND valid_from <= booking_clock() AND valid_until > booking_clock()), "
        "count(*) FILTER (WHERE scope = 'user_specific'), count(*) FILTER (WHERE scope = 'global'),"
        " coalesce(sum(times_used), 0)::bigint, (SELECT count(DISTINCT user_id) FROM coupon_use), "
        "coalesce(sum(times_used * value), 0)::bigint FROM coupon"
    ).fetchone()
    assert row is not None
    return Overview(*row)
