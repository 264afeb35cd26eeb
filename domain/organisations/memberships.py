"""All memberships and projects, folded from the log: what the inline state has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from domain.events.organisations import (
    MemberJoined,
    MemberLeft,
    MemberRoleChanged,
    OrganisationClosed,
    OrganisationCreated,
    ProjectArchived,
    ProjectCreated,
    ProjectRenamed,
)
from domain.organisations.roles import MemberRole

if TYPE_CHECKING:
    from domain.events.base import Event


class KnownProject(NamedTuple):
    """A project as the inline state has it."""

    organisation_id: str
    account_id: str
    name: str
    archived: bool


@dataclass(slots=True)
class Memberships:
    """Of all organisations but the personal ones, which have no events."""

    organisations: dict[str, tuple[str, bool]] = field(default_factory=dict)
    """The account, and whether it was closed."""
    members: dict[tuple[str, str], str] = field(default_factory=dict)
    """The role, by organisation and user."""
    projects: dict[str, KnownProject] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        stream = str(event.originator_id)
        match event:
            case OrganisationCreated():
                self.organisations[stream] = event.account_id, False
                self.members[stream, event.user_id] = MemberRole.OWNER
            case OrganisationClosed():
                self.organisations[stream] = event.account_id, True
                for place in [each for each in self.members if each[0] == stream]:
                    del self.members[place]
            case MemberJoined():
                self.members[stream, event.user_id] = event.role
            case MemberRoleChanged():
                self.members[stream, event.user_id] = event.to_role
            case MemberLeft():
                del self.members[stream, event.user_id]
            case ProjectCreated():
                self.projects[stream] = KnownProject(
                    event.organisation_id, event.account_id, event.name, archived=False
                )
            case ProjectRenamed():
                self.projects[stream] = self.projects[stream]._replace(name=event.to_name)
            case ProjectArchived():
                self.projects[stream] = self.projects[stream]._replace(archived=True)
            case _:
                return
