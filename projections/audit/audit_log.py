"""`audit_log`: who did what to whom, newest last."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

import msgspec

from projections.audit.telling import Subject, object_of
from projections.audit.told import TOLD
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, key

if TYPE_CHECKING:
    from datetime import datetime

    from domain.events.base import Event
    from event_store.log.reading import LogEntry
    from projections.engine.tables import Changes

BY_KEY = "api_key:"
BY_USER = "user:"
BY_OPERATOR = "operator:"
API_KEY, SYSTEM = "api_key", "system"


def _once(name: str, sql: str, about: str = "") -> Column:
    return Column(name, sql, Merge.ONCE, about=about)


AUDIT = Table(
    name="audit_log",
    about="One row for each act on keys, roles, users, limits and credits.",
    columns=(
        key("position", "bigint"),
        _once("event_id", "uuid"),
        _once("booked_at", "timestamptz"),
        _once("actor", "text", "As the event names it, such as api_key:ID or operator:cli."),
        _once("actor_kind", "text", "api_key, operator:cli, or system."),
        _once("actor_user_id", "uuid", "Who did it, where the event says so."),
        _once("action", "text"),
        _once(
            "subject_kind",
            "text",
            "user, key, account, organisation, project, payment, coupon or books.",
        ),
        _once("subject_id", "text"),
        _once("user_id", "uuid", "The user concerned; empty where account or key tell it."),
        _once("account_id", "uuid"),
        _once("key_id", "uuid"),
        _once("origin", "text", "Stands for the address of the request; empty for none."),
        _once("before", "text", "JSON."),
        _once("after", "text", "JSON."),
        _once("reason", "text", "Empty where none was given."),
    ),
    appended=True,
    indexes=(
        "user_id, position DESC",
        "account_id, position DESC",
        "key_id, position DESC",
        "action, position DESC",
        "booked_at, position",
    ),
)


class Line(NamedTuple):
    """One line, in the order of the table's columns."""

    position: int
    event_id: str
    booked_at: datetime
    actor: str
    actor_kind: str
    actor_user_id: str | None
    action: str
    subject_kind: str
    subject_id: str
    user_id: str | None
    account_id: str | None
    key_id: str | None
    origin: str
    before: str
    after: str
    reason: str


class AuditLog(Projection):
    """See the module."""

    name = "audit_log"
    about = "Who did what: acts on keys, roles, users, limits and credits."
    tables = (AUDIT,)
    handles = tuple(TOLD)
    watches = (
        *("user.", "api_key.", "data.", "organisation.", "project."),
        *("coupon.", "plan.", "payment."),
    )

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Write one line."""
        line = line_of(entry)
        if line is not None:
            changes.append(AUDIT, line)


def line_of(entry: LogEntry) -> Line | None:
    """How an event is told; None for one that is not."""
    event = entry.event
    told = TOLD.get(type(event))
    if told is None:
        return None
    # A plain text, as it comes back from the table: the digests of both sides are made of it.
    kind = str(getattr(event, told.kind_in) if told.kind_in else told.subject)
    named = getattr(event, told.subject_in) if told.subject_in else event.originator_id
    subject = _text(str(named or ""))
    return Line(
        position=entry.position,
        event_id=event.id,
        booked_at=entry.booked_at,
        actor=_text(event.actor),
        actor_kind=_kind_of(event.actor),
        actor_user_id=_uuid(getattr(event, "by_user_id", None)),
        action=told.action,
        subject_kind=kind,
        subject_id=subject,
        user_id=_uuid(subject if kind == Subject.USER else getattr(event, "user_id", None)),
        account_id=_uuid(
            subject if kind == Subject.ACCOUNT else getattr(event, "account_id", None)
        ),
        key_id=_uuid(subject if kind == Subject.KEY else None),
        origin=_text(getattr(event, "origin", "")),
        before=_json(event, told.before),
        after=_json(event, told.after),
        reason=_text(getattr(event, "reason", "")),
    )


def _kind_of(actor: str) -> str:
    if actor.startswith(BY_KEY):
        return API_KEY
    return actor if actor.startswith(BY_OPERATOR) else SYSTEM


def acting(line: Line, prefix: str) -> str | None:
    """The id that a line's actor is named by, behind a prefix; None for any other actor."""
    return _uuid(line.actor.removeprefix(prefix)) if line.actor.startswith(prefix) else None


def _uuid(told: str | None) -> str | None:
    """An id, where it is one."""
    with suppress(ValueError):
        return str(UUID(told)) if told else None
    return None


def _json(event: Event, members: object) -> str:
    return msgspec.json.encode(object_of(event, members)).decode()  # type: ignore[arg-type]


def _text(told: str) -> str:
    """A text as PostgreSQL can hold it."""
    return told.replace("\0", "")
