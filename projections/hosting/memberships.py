"""Compares the tables of organisations, members and projects with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.organisations.memberships import KnownProject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import psycopg

    from domain.organisations.memberships import Memberships


def membership_differences(
    connection: psycopg.Connection[Any], members: Memberships
) -> Iterator[str]:
    """Every organisation, member and project that differs."""
    organisations = connection.execute(
        "SELECT organisation_id::text, account_id::text, closed FROM organisation"
    ).fetchall()
    yield from _differing(
        "organisation",
        {each: (account, closed) for each, account, closed in organisations},
        members.organisations,
    )
    held = connection.execute(
        "SELECT organisation_id::text, user_id::text, role FROM organisation_member "
        "WHERE role IS NOT NULL"
    ).fetchall()
    yield from _differing("member", {(of, user): role for of, user, role in held}, members.members)
    projects = connection.execute(
        "SELECT project_id::text, organisation_id::text, account_id::text, name, archived "
        "FROM project"
    ).fetchall()
    stored = {each: KnownProject(*members_) for each, *members_ in projects}
    yield from _differing("project", stored, members.projects)


def _differing(what: str, stored: Mapping[Any, Any], logged: Mapping[Any, Any]) -> Iterator[str]:
    for name in sorted(stored.keys() | logged.keys()):
        here, there = stored.get(name), logged.get(name)
        if here != there:
            yield f"{what} {name}: the table says {here!r}, the log {there!r}"
