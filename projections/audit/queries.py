"""What routes ask of the audit: the lines about a user, or all; newest first.

An event of a key or an account need not name the user, nor what a key did whose key it is. Who that
is, the inline state knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from projections.audit.audit_log import AUDIT, BY_KEY, BY_USER, Line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from projections.engine.projection import Select


class Wanted(NamedTuple):
    """Which lines: about a user (None: all), of a key, of some actions, of a time, of a place.

    Booked at `since` or later and before `until`; at positions before `below`.
    """

    user_id: UUID | None = None
    key_id: UUID | None = None
    actions: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    below: int | None = None
    account_id: UUID | None = None
    """Of an organisation: what concerns it, its projects and their keys."""


_ID = "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def _id_in_actor(prefix: str) -> str:
    """The id that an actor is named by, behind a prefix; null for any other actor."""
    return f"CASE WHEN a.actor ~ '^{prefix}{_ID}' THEN substr(a.actor, {len(prefix) + 1})::uuid END"


_OF_WHOM = {
    "user_id": "coalesce(a.user_id, k.user_id, u.user_id)::text",
    "actor_user_id": f"coalesce(a.actor_user_id, by.user_id, {_id_in_actor(BY_USER)})::text",
}
_COLUMNS = ", ".join(
    _OF_WHOM.get(name, f"a.{name}::text" if name.endswith("_id") else f"a.{name}")
    for name in Line._fields
)
_LINES = f"""
SELECT {_COLUMNS} FROM {AUDIT.view} a
LEFT JOIN api_key k ON k.key_id = a.key_id AND NOT k.replaced
LEFT JOIN user_secret u ON u.account_id = a.account_id
LEFT JOIN api_key by ON by.key_id = {_id_in_actor(BY_KEY)} AND NOT by.replaced
"""


_KEYS_OF_PROJECTS = (
    "key_id IN (SELECT key_id FROM api_key WHERE account_id = %s AND project_id IS NOT NULL)"
)


def read_audit(select: Select, wanted: Wanted, *, limit: int, offset: int = 0) -> list[Line]:
    """A page of the lines that are wanted, newest first."""
    positions, values = _positions(select, wanted, most=limit + offset)
    rows = select(
        f"{_LINES} WHERE a.position IN ({positions}) ORDER BY a.position DESC LIMIT %s OFFSET %s",
        [*values, limit, offset],
    )
    return [Line(*row) for row in rows]


def count_audit(select: Select, wanted: Wanted, *, most: int | None = None) -> int:
    """How many lines are wanted; no more than `most` are counted."""
    positions, values = _positions(select, wanted, most=most)
    ((count,),) = select(f"SELECT count(*) FROM ({positions}) AS wanted (position)", values)
    return min(int(count), most) if most is not None else int(count)


def read_owner(select: Select, key_id: UUID) -> str | None:
    """The user whose key it is; None where there is no such key."""
    rows = select("SELECT user_id FROM api_key WHERE key_id = %s LIMIT 1", [key_id])
    return str(rows[0][0]) if rows else None


def _positions(select: Select, wanted: Wanted, *, most: int | None) -> tuple[str, list[Any]]:
    """A query for the positions of the newest lines that are wanted, each way through its index."""
    where, values = _where(wanted)
    ways: list[tuple[str, list[Any]]] = [("true", [])]
    if wanted.key_id is not None:
        ways = [("key_id = %s", [wanted.key_id])]
    elif wanted.account_id is not None:
        ways = [
            ("account_id = %s", [wanted.account_id]),
            (_KEYS_OF_PROJECTS, [wanted.account_id]),
        ]
    elif wanted.user_id is not None:
        keys = select("SELECT DISTINCT key_id FROM api_key WHERE user_id = %s", [wanted.user_id])
        ways = [
            ("user_id = %s", [wanted.user_id]),
            (
                "account_id = (SELECT account_id FROM user_secret WHERE user_id = %s)",
                [wanted.user_id],
            ),
            ("key_id = ANY (%s)", [[key for (key,) in keys]]),
        ]
    parts, given = [], list[Any]()
    for way, of_way in ways:
        parts.append(
            f"(SELECT position FROM {AUDIT.view} WHERE {way}{where} "
            "ORDER BY position DESC LIMIT %s)"
        )
        given += [*of_way, *values, most]
    return " UNION ".join(parts), given


def _where(wanted: Wanted) -> tuple[str, list[Any]]:
    where, values = "", list[Any]()
    for condition, value in (
        ("action = ANY (%s)", None if wanted.actions is None else list(wanted.actions)),
        ("booked_at >= %s", wanted.since),
        ("booked_at < %s", wanted.until),
        ("position < %s", wanted.below),
    ):
        if value is not None:
            where += f" AND {condition}"
            values.append(value)
    return where, values
