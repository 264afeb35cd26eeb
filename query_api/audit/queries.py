"""The lines of the audit in the shapes that they are shown in.

Readers see their own acts: they wait, for a bounded time, until the projection has reached the head
that the log had when the request came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from event_store.beside.user_roles import read_role
from event_store.ids import to_iso
from projections.all import projection_named
from projections.audit.queries import Wanted, count_audit, read_audit, read_owner
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from event_store.postgres.database import Connects
    from projections.audit.audit_log import Line

AUDIT = projection_named("audit_log")
COLUMNS = (
    *("booked_at", "action", "subject_kind", "subject_id", "user_id", "actor", "actor_kind"),
    *("actor_user_id", "origin", "before", "after", "reason"),
    *("account_id", "key_id", "id", "position"),
)
"""Of an export in CSV."""
KEY_ACTIONS = {
    "create": ("api_key.created",),
    "update": ("api_key.changed",),
    "delete": ("api_key.deleted", "api_key.revoked"),
    "rotate": ("api_key.rotated",),
}
"""What older clients call what is done to keys."""
ROLE_CHANGED = "role.changed"


def user_exists(database: Connects, user_id: UUID) -> bool:
    """Whether there is such a user."""
    with database.connect() as connection:
        return read_role(connection, user_id) is not None


def owns_key(database: Connects, user_id: str, key_id: UUID) -> bool:
    """Whether a key is the user's."""
    with database.connect() as connection:
        return read_owner(select_on(connection), key_id) == user_id


def audit_page(
    database: Connects, wanted: Wanted, *, limit: int, offset: int, wait_s: float
) -> list[Line]:
    """A page, newest first; raises ProjectionLaggingError."""
    with database.connect() as connection:
        await_own_writes(connection, AUDIT, wait_s)
        return read_audit(select_on(connection), wanted, limit=limit, offset=offset)


def audit_with_total(
    database: Connects, wanted: Wanted, *, limit: int, wait_s: float
) -> tuple[list[Line], int]:
    """The newest lines, and how many there are; raises ProjectionLaggingError."""
    with database.connect() as connection:
        await_own_writes(connection, AUDIT, wait_s)
        select = select_on(connection)
        return read_audit(select, wanted, limit=limit), count_audit(select, wanted)


def count_up_to(database: Connects, wanted: Wanted, most: int, *, wait_s: float) -> int:
    """How many lines are wanted, counted no further than `most`; raises ProjectionLaggingError."""
    with database.connect() as connection:
        await_own_writes(connection, AUDIT, wait_s)
        return count_audit(select_on(connection), wanted, most=most)


def audit_part(database: Connects, wanted: Wanted, limit: int) -> list[Line]:
    """The next lines of an export, which has waited at its begin."""
    with database.connect() as connection:
        return read_audit(select_on(connection), wanted, limit=limit)


def shown(line: Line, viewer: str | None) -> dict[str, Any]:
    """A line for an admin (`viewer` is None), or for the user whom it concerns.

    From where somebody else acted is not told to that user.
    """
    foreign = viewer is not None and line.actor_user_id not in (None, viewer)
    return {
        "id": line.event_id,
        "position": line.position,
        "booked_at": to_iso(line.booked_at),
        "action": line.action,
        "subject": {"kind": line.subject_kind, "id": line.subject_id},
        "user_id": line.user_id,
        "account_id": line.account_id,
        "key_id": line.key_id,
        "actor": line.actor,
        "actor_kind": line.actor_kind,
        "actor_user_id": line.actor_user_id,
        "origin": "" if foreign else line.origin,
        "before": msgspec.Raw(line.before.encode()),
        "after": msgspec.Raw(line.after.encode()),
        "reason": line.reason,
    }


def csv_row(line: Line, viewer: str | None) -> Sequence[Any]:
    """The same as a row of COLUMNS."""
    fields = shown(line, viewer)
    fields |= {
        "subject_kind": line.subject_kind,
        "subject_id": line.subject_id,
        "before": line.before,
        "after": line.after,
    }
    return [fields[name] for name in COLUMNS]


def shown_of_key(line: Line, viewer: str) -> dict[str, Any]:
    """A line of a key, as older clients know it."""
    named = next((name for name, known in KEY_ACTIONS.items() if line.action in known), line.action)
    fields = shown(line, viewer)
    return {
        "id": line.event_id,
        "user_id": line.user_id,
        "key_id": line.key_id,
        "action": named,
        "details": {name: fields[name] for name in ("before", "after", "reason")},
        "actor": line.actor,
        "origin": fields["origin"],
        "timestamp": to_iso(line.booked_at),
    }


def shown_of_role(line: Line) -> dict[str, Any]:
    """A change of a role, as older clients know it."""
    before, after = (msgspec.json.decode(each) for each in (line.before, line.after))
    return {
        "id": line.event_id,
        "user_id": line.user_id,
        "old_role": before["role"],
        "new_role": after["role"],
        "changed_by": line.actor_user_id or line.actor,
        "actor": line.actor,
        "origin": line.origin,
        "reason": line.reason,
        "created_at": to_iso(line.booked_at),
    }
