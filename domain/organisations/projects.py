"""Projects: events evolve state, commands decide events."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from domain.errors import DomainError, InvalidCommandError
from domain.events.organisations import ProjectArchived, ProjectCreated, ProjectRenamed

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from domain.events.base import By, Event, Stamp

PROJECTS_MAX = 100
"""Most projects of an organisation that are not archived."""
NAME_CHARACTERS_MAX = 100


class UnknownProjectError(DomainError):
    """There is no such project, or it was archived."""

    code = "project_not_found"


@dataclass(frozen=True, slots=True)
class Project:
    """State of one project."""

    id: UUID
    version: int
    organisation_id: str
    account_id: str
    name: str
    archived: bool = False

    def next(self, by: By, stamp: Stamp) -> dict[str, Any]:
        """What its next event carries in any case."""
        return {
            "originator_id": self.id,
            "originator_version": self.version + 1,
            "organisation_id": self.organisation_id,
            "account_id": self.account_id,
            **stamp,
            **by.told(),
        }


def evolve_project(state: Project | None, event: Event) -> Project | None:
    """The next state of a project."""
    match event:
        case ProjectCreated():
            return Project(
                event.originator_id,
                event.originator_version,
                event.organisation_id,
                event.account_id,
                event.name,
            )
        case ProjectRenamed() if state:
            return replace(state, version=event.originator_version, name=event.to_name)
        case ProjectArchived() if state:
            return replace(state, version=event.originator_version, archived=True)
        case _:
            return state


def replay_project(events: Iterable[Event]) -> Project | None:
    """A project's state after its events."""
    state: Project | None = None
    for event in events:
        state = evolve_project(state, event)
    return state


def check_name(name: str, what: str = "a project") -> str:
    """A name for an organisation or a project; raises InvalidCommandError."""
    name = name.strip()
    if not name or len(name) > NAME_CHARACTERS_MAX or not name.isprintable():
        message = f"{what}'s name has 1 to {NAME_CHARACTERS_MAX} printable characters"
        raise InvalidCommandError(message)
    return name


def rename_project(state: Project | None, name: str, by: By, stamp: Stamp) -> list[ProjectRenamed]:
    """Give a project another name. Raises UnknownProjectError and InvalidCommandError."""
    known, name = _living(state), check_name(name)
    if name == known.name:
        return []
    return [
        ProjectRenamed(
            **known.next(by, stamp),
            from_name=known.name,
            to_name=name,
        )
    ]


def archive_project(state: Project | None, by: By, stamp: Stamp) -> ProjectArchived:
    """Archive a project for ever. Raises UnknownProjectError."""
    known = _living(state)
    return ProjectArchived(
        **known.next(by, stamp),
    )


def _living(state: Project | None) -> Project:
    if state is None or state.archived:
        message = "there is no such project, or it was archived"
        raise UnknownProjectError(message)
    return state
