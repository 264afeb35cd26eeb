"""Organisations, members and projects beside the log: what their events change there, and reading.

Every user has a personal organisation, whose id is the user's own: it needs no rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from domain.events.organisations import (
    InvitationEnded,
    MemberJoined,
    MemberLeft,
    MemberRoleChanged,
    OrganisationClosed,
    OrganisationCreated,
    OrganisationRenamed,
    ProjectArchived,
    ProjectCreated,
    ProjectRenamed,
)
from domain.organisations.projects import UnknownProjectError
from domain.organisations.roles import Act, MemberRole, check_act
from event_store.beside.channels import KEYS_CHANNEL
from event_store.beside.provider_keys.handlers import shred_of_organisation, shred_of_project

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    import psycopg
    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

LISTED_MAX = 1_000
"""Most rows of one list."""
_POSITION = (
    "(SELECT notification_id FROM events "
    "WHERE originator_id = %(stream)s AND originator_version = %(version)s)"
)


def _apply(statement: str, tells: str = "") -> Handler:
    """A handler that executes one statement with the fact's members, and tells the gateways whose
    keys are to be looked up anew: those of the id in the member `tells`, or of the stream's.
    """

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        own = {"stream": stored.originator_id, "version": stored.originator_version}
        cursor.execute(statement.replace("@position", _POSITION).encode(), {**fact, **own})
        told = fact[tells] if tells else stored.originator_id
        cursor.execute("SELECT pg_notify(%s, %s)", [KEYS_CHANNEL, str(told)])

    return handle


def _joined(role: str) -> str:
    return (
        "INSERT INTO organisation_member (organisation_id, user_id, role, position) "
        f"VALUES (%(stream)s, %(user_id)s, {role}, @position) "
        "ON CONFLICT (organisation_id, user_id) DO UPDATE SET role = excluded.role, "
        "position = excluded.position, joined_at = CASE WHEN organisation_member.role IS NULL "
        "THEN excluded.joined_at ELSE organisation_member.joined_at END"
    )


def _created(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    _MADE(cursor, stored)
    _apply(_joined("'owner'"), "user_id")(cursor, stored)


def _invitation_over(then: Handler | None = None) -> Handler:
    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = msgspec.json.decode(stored.state)
        if fact.get("invitation_id"):
            cursor.execute(
                "DELETE FROM invitation WHERE invitation_id = %s", [fact["invitation_id"]]
            )
        if then is not None:
            then(cursor, stored)

    return handle


def _closed(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    """Without the data key nobody reads the name any more."""
    organisation = [stored.originator_id]
    cursor.execute("DELETE FROM invitation WHERE organisation_id = %s", organisation)
    cursor.execute(
        "UPDATE organisation_member SET role = NULL WHERE organisation_id = %s", organisation
    )
    shred_of_organisation(cursor, stored.originator_id)
    cursor.execute("DELETE FROM shared_answer WHERE owner_id = %s", organisation)
    _CLOSED(cursor, stored)


def _archived(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
    shred_of_project(cursor, stored.originator_id)
    _ARCHIVED(cursor, stored)


_MADE = _apply(
    "INSERT INTO organisation (organisation_id, account_id, name_ciphertext, position) "
    "VALUES (%(stream)s, %(account_id)s, %(name_ciphertext)s, @position)"
)
_CLOSED = _apply(
    "UPDATE organisation SET closed = true, wrapped_key = NULL, name_ciphertext = '', "
    "position = @position WHERE organisation_id = %(stream)s"
)
_ARCHIVED = _apply(
    "UPDATE project SET archived = true, position = @position WHERE project_id = %(stream)s"
)
HANDLERS: Mapping[str, Handler] = {
    OrganisationCreated.TOPIC: _created,
    OrganisationRenamed.TOPIC: _apply(
        "UPDATE organisation SET name_ciphertext = %(name_ciphertext)s, position = @position "
        "WHERE organisation_id = %(stream)s"
    ),
    OrganisationClosed.TOPIC: _closed,
    InvitationEnded.TOPIC: _invitation_over(),
    MemberJoined.TOPIC: _invitation_over(_apply(_joined("%(role)s"), "user_id")),
    MemberRoleChanged.TOPIC: _apply(_joined("%(to_role)s"), "user_id"),
    MemberLeft.TOPIC: _apply(
        "UPDATE organisation_member SET role = NULL, position = @position "
        "WHERE organisation_id = %(stream)s AND user_id = %(user_id)s",
        "user_id",
    ),
    ProjectCreated.TOPIC: _apply(
        "INSERT INTO project (project_id, organisation_id, account_id, name, position) VALUES "
        "(%(stream)s, %(organisation_id)s, %(account_id)s, %(name)s, @position)"
    ),
    ProjectRenamed.TOPIC: _apply(
        "UPDATE project SET name = %(to_name)s, position = @position WHERE project_id = %(stream)s"
    ),
    ProjectArchived.TOPIC: _archived,
}


class Membership(NamedTuple):
    """What a user is in an organisation."""

    organisation_id: UUID
    account_id: UUID
    role: MemberRole
    personal: bool = False
    wrapped_key: bytes | None = None
    name_ciphertext: str = ""


class StoredProject(NamedTuple):
    """A project, and how many keys it has that were not revoked or deleted."""

    project_id: UUID
    organisation_id: UUID
    account_id: UUID
    name: str
    archived: bool
    keys: int


class Member(NamedTuple):
    """A member."""

    user_id: UUID
    role: MemberRole
    joined_at: datetime


_MEMBERSHIP = (
    "SELECT o.organisation_id, o.account_id, m.role, false, o.wrapped_key, o.name_ciphertext "
    "FROM organisation_member m JOIN organisation o USING (organisation_id) "
    "WHERE NOT o.closed AND m.role IS NOT NULL AND m.user_id = %s"
)
_PROJECT = (
    "SELECT p.project_id, p.organisation_id, p.account_id, p.name, p.archived, "
    "(SELECT count(*) FROM api_key k WHERE k.organisation_id = p.organisation_id "
    "AND k.project_id = p.project_id AND NOT (k.revoked OR k.deleted OR k.replaced)) "
    "FROM project p WHERE "
)


def read_memberships(
    connection: psycopg.Connection[Any], user_id: UUID, organisation_id: UUID | None = None
) -> list[Membership]:
    """The organisations of a user, the personal one first; of one only, where it is named."""
    found: list[Membership] = []
    if organisation_id in {None, user_id}:
        row = connection.execute(
            "SELECT account_id FROM user_secret WHERE user_id = %s AND wrapped_key IS NOT NULL",
            [user_id],
        ).fetchone()
        if row is not None:
            found.append(Membership(user_id, row[0], MemberRole.OWNER, personal=True))
    if organisation_id == user_id:
        return found
    query, values = _MEMBERSHIP, [user_id]
    if organisation_id is not None:
        query, values = f"{query} AND m.organisation_id = %s", [user_id, organisation_id]
    rows = connection.execute(
        f"{query} ORDER BY o.organisation_id LIMIT {LISTED_MAX}".encode(), values
    ).fetchall()
    return found + [
        Membership(of, account, MemberRole(role), personal, key, name)
        for of, account, role, personal, key, name in rows
    ]


def read_owners(connection: psycopg.Connection[Any], organisation_id: UUID) -> list[Membership]:
    """An organisation that is open, as its owner has it; nothing where there is none."""
    row = connection.execute(
        "SELECT organisation_id, account_id, false, wrapped_key, name_ciphertext FROM organisation "
        "WHERE organisation_id = %s AND NOT closed",
        [organisation_id],
    ).fetchone()
    if row is None:
        return read_memberships(connection, organisation_id, organisation_id)
    return [Membership(row[0], row[1], MemberRole.OWNER, *row[2:])]


def read_accounts(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """By account the organisation that it is of; personal ones are not among them."""
    return dict(
        connection.execute(
            "SELECT account_id::text, organisation_id::text FROM organisation"
        ).fetchall()
    )


class Summary(NamedTuple):
    """An organisation for an operator; names are not shown."""

    organisation_id: str
    account_id: str
    members: int
    projects: int
    closed: bool


def read_organisations(
    connection: psycopg.Connection[Any], *, after: str = "", limit: int = LISTED_MAX
) -> list[Summary]:
    """Organisations in the order of their ids, which is that of their making, from behind one."""
    rows = connection.execute(
        "SELECT o.organisation_id::text, o.account_id::text, "
        "(SELECT count(*) FROM organisation_member m "
        "WHERE m.organisation_id = o.organisation_id AND m.role IS NOT NULL), "
        "(SELECT count(*) FROM project p "
        "WHERE p.organisation_id = o.organisation_id AND NOT p.archived), o.closed "
        "FROM organisation o WHERE o.organisation_id::text > %s "
        "ORDER BY o.organisation_id LIMIT %s",
        [after, min(limit, LISTED_MAX)],
    ).fetchall()
    return [Summary(*row) for row in rows]


def read_members(connection: psycopg.Connection[Any], organisation_id: UUID) -> list[Member]:
    """The members of an organisation, who joined first first."""
    rows = connection.execute(
        "SELECT user_id, role, joined_at FROM organisation_member "
        "WHERE organisation_id = %s AND role IS NOT NULL ORDER BY joined_at, user_id LIMIT %s",
        [organisation_id, LISTED_MAX],
    ).fetchall()
    return [Member(user, MemberRole(role), joined) for user, role, joined in rows]


def read_projects(
    connection: psycopg.Connection[Any], organisation_id: UUID
) -> list[StoredProject]:
    """The projects of an organisation, oldest first, archived ones too."""
    rows = connection.execute(
        f"{_PROJECT} p.organisation_id = %s ORDER BY p.project_id LIMIT %s".encode(),
        [organisation_id, LISTED_MAX],
    ).fetchall()
    return [StoredProject(*row) for row in rows]


def read_project(connection: psycopg.Connection[Any], project_id: UUID) -> StoredProject | None:
    """One project, by its id."""
    row = connection.execute(f"{_PROJECT} p.project_id = %s".encode(), [project_id]).fetchone()
    return None if row is None else StoredProject(*row)


def project_for_keys(
    connection: psycopg.Connection[Any], user_id: UUID, project_id: UUID | None
) -> StoredProject | None:
    """A project that a user may make keys of; None where none is named.

    Raises UnknownProjectError, NotAMemberError, ActForbiddenError.
    """
    if project_id is None:
        return None
    found = read_project(connection, project_id)
    if found is None or found.archived:
        message = "there is no such project, or it was archived"
        raise UnknownProjectError(message)
    memberships = read_memberships(connection, user_id, found.organisation_id)
    check_act(memberships[0].role if memberships else None, Act.KEYS)
    return found
