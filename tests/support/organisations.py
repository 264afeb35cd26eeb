"""Organisations for tests: acts as events alone, and keys of a project with credits."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.composition import vault_of
from command_api.identity.key_orders import NewKey
from command_api.identity.people import People
from command_api.money.grants import Grant, Grants
from command_api.organisations.commands import Organisations
from command_api.organisations.projects import Projects
from domain.events.base import By
from domain.events.organisations import (
    InvitationEnded,
    MemberInvited,
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
from domain.ledger.lots import GrantKind
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from command_api.identity.users import NewUser
    from domain.events.base import Event
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway


def tell_organisations(database: Database, owner: str, member: str) -> None:
    """One from its making to its close, with a project; and one that stays open."""
    aggregates = Aggregates(database)
    try:
        for lasting in (False, True):
            aggregates.append(life_of(owner, member, lasting=lasting))
    finally:
        aggregates.close()


def life_of(owner: str, member: str, *, lasting: bool) -> list[Event]:
    """All that can happen to an organisation, but its close where it is lasting."""
    organisation, project, account = new_uuid7(), new_uuid7(), str(new_uuid7())
    version, role = 0, "developer"
    invitations = [str(new_uuid7()) for _ in range(2)]

    def act(cls: Any, **members: Any) -> Event:
        nonlocal version
        version += 1
        made: Event = cls(
            originator_id=organisation,
            originator_version=version,
            **new_envelope(f"user:{owner}"),
            by_user_id=owner,
            origin="origin-0011",
            reason="test",
            account_id=account,
            **members,
        )
        return made

    def of_project(cls: Any, number: int, **members: Any) -> Event:
        made: Event = cls(
            originator_id=project,
            originator_version=number,
            **new_envelope("operator:cli"),
            organisation_id=str(organisation),
            account_id=account,
            **members,
        )
        return made

    invited = [
        act(OrganisationCreated, user_id=owner, name_ciphertext=new_uuid7().hex),
        act(OrganisationRenamed, name_ciphertext=new_uuid7().hex),
        *(
            act(
                MemberInvited,
                invitation_id=each,
                role=role,
                expires_at="2030-01-01T00:00:00.000000Z",
            )
            for each in invitations
        ),
        act(InvitationEnded, invitation_id=invitations[0], how="declined"),
        act(MemberJoined, user_id=member, role=role, invitation_id=invitations[1]),
        act(MemberRoleChanged, user_id=member, from_role=role, to_role="admin"),
        of_project(ProjectCreated, 1, name="search"),
        of_project(ProjectRenamed, 2, from_name="search", to_name="find"),
    ]
    if lasting:
        return invited
    return [
        *invited,
        of_project(ProjectArchived, 3),
        act(MemberLeft, user_id=member, role="admin", how="removed"),
        act(OrganisationClosed),
    ]


def with_keys(gateway: RunningGateway, ann: NewUser, bob: NewUser) -> tuple[str, list[str]]:
    """An organisation of two with credits and a project, and a key that each made of it."""
    people = People(gateway.database, vault_of(gateway.settings, gateway.database))
    people.open()
    try:
        commands = Organisations(people)
        of = commands.create("x", By(ann.user_id), "test", UUID(ann.user_id))
        commands.add(of, By(), "test", UUID(bob.user_id), "developer")
        project = Projects(commands.store).create(of, By(), "test", "search")
        account = people.users.find_account(str(of))
        given = Grant(account_id=account, amount=10**9, kind=GrantKind.BONUS, reason="test")
        asyncio.run(Grants(gateway.database, actor="test").give(given))
        new = NewKey(name="of the project", project_id=project)
        keys = [people.users.create(each.user_id, new).api_key for each in (ann, bob)]
    finally:
        people.close()
    return str(of), keys
