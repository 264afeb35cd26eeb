"""Projects of organisations, and of the personal one: made, named, archived. All methods block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.organisations.store import TRIES_MAX, ChangedMeanwhileError
from domain.errors import InvalidCommandError
from domain.events.organisations import ProjectCreated
from domain.organisations.projects import (
    PROJECTS_MAX,
    UnknownProjectError,
    archive_project,
    check_name,
    rename_project,
    replay_project,
)
from domain.organisations.roles import Act
from event_store.beside.organisations import read_project, read_projects
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import constraint_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from command_api.organisations.store import Store
    from domain.events.base import By, Event
    from domain.organisations.projects import Project
    from event_store.beside.organisations import StoredProject


class Projects:
    """The commands; one for each process."""

    def __init__(self, store: Store) -> None:
        """Through the store of organisations."""
        self._store = store

    def listed(self, organisation_id: UUID, user_id: UUID) -> list[dict[str, Any]]:
        """The projects of an organisation, archived ones too. Raises NotAMemberError."""
        with self._store.connect() as connection:
            self._store.membership(connection, organisation_id, user_id, Act.READ)
            return [_shown(each) for each in read_projects(connection, organisation_id)]

    def found(
        self, organisation_id: UUID, user_id: UUID | None, project_id: UUID, act: Act
    ) -> StoredProject:
        """A project for somebody who may act on it, or (None) an operator.

        Raises NotAMemberError, ActForbiddenError, UnknownProjectError.
        """
        with self._store.connect() as connection:
            self._store.membership(connection, organisation_id, user_id, act)
            project = read_project(connection, project_id)
        if project is None or project.organisation_id != organisation_id:
            message = "the organisation has no such project"
            raise UnknownProjectError(message)
        return project

    def shown(self, organisation_id: UUID, user_id: UUID, project_id: UUID) -> dict[str, Any]:
        """One project. Raises as `found`."""
        return _shown(self.found(organisation_id, user_id, project_id, Act.READ))

    def create(self, organisation_id: UUID, by: By, actor: str, name: str) -> UUID:
        """A new project; returns its id.

        Raises NotAMemberError, ActForbiddenError, and InvalidCommandError for a name that cannot be
        or is taken, and where there are too many.
        """
        with self._store.connect() as connection:
            membership = self._store.membership(
                connection, organisation_id, _user(by), Act.PROJECTS
            )
            known = read_projects(connection, organisation_id)
        if sum(not each.archived for each in known) >= PROJECTS_MAX:
            message = f"an organisation has at most {PROJECTS_MAX} projects: archive one"
            raise InvalidCommandError(message)
        made = ProjectCreated(
            originator_id=new_uuid7(),
            originator_version=1,
            **new_envelope(actor),
            **by.told(),
            organisation_id=str(organisation_id),
            account_id=str(membership.account_id),
            name=check_name(name),
        )
        self._append(made.originator_id, lambda _: [made])
        return made.originator_id

    def rename(
        self,
        organisation_id: UUID,
        by: By,
        actor: str,
        project_id: UUID,
        name: str,
    ) -> None:
        """Give a project another name. Raises as `found`, and InvalidCommandError."""
        self.found(organisation_id, _user(by), project_id, Act.PROJECTS)
        self._append(project_id, lambda state: rename_project(state, name, by, new_envelope(actor)))

    def archive(self, organisation_id: UUID, by: By, actor: str, project_id: UUID) -> None:
        """Archive a project for ever. Raises as `found`."""
        self.found(organisation_id, _user(by), project_id, Act.PROJECTS)
        self._append(project_id, lambda state: [archive_project(state, by, new_envelope(actor))])

    def _append(
        self, project_id: UUID, decide: Callable[[Project | None], Sequence[Event]]
    ) -> None:
        """Save what is decided, decided anew when somebody was quicker.

        Raises InvalidCommandError for a name that is taken, and ChangedMeanwhileError.
        """
        events_of = self._store.people.events.events_of
        for _ in range(TRIES_MAX):
            events = decide(replay_project(events_of(project_id)))
            if not events:
                return
            try:
                self._store.people.events.append(events)
            except IntegrityError as error:
                taken = constraint_of(error)
                if taken == "project_name_idx":
                    message = "another project of the organisation has this name: give another one"
                    raise InvalidCommandError(message) from None
                continue
            return
        message = "the project is being changed by others at this moment: try again"
        raise ChangedMeanwhileError(message)


def _user(by: By) -> UUID | None:
    return None if by.user_id is None else UUID(by.user_id)


def _shown(project: StoredProject) -> dict[str, Any]:
    return {
        "id": str(project.project_id),
        "organisation_id": str(project.organisation_id),
        "name": project.name,
        "archived": project.archived,
        "keys": project.keys,
    }
