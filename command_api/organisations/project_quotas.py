"""Quotas of projects, set by whoever may change projects. All methods block.

What the operator set last on a project is the most that its organisation may set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.quotas.commands import Quotas, Scope, told
from domain.organisations.roles import Act
from domain.quotas.terms import ScopeKind
from event_store.beside.quotas import read_quotas

if TYPE_CHECKING:
    from uuid import UUID

    from command_api.organisations.projects import Projects
    from command_api.organisations.schemas import OfQuota, SetQuota
    from command_api.organisations.store import Store


class ProjectQuotas:
    """The commands; one for each process."""

    def __init__(self, store: Store, projects: Projects) -> None:
        """Through the store of organisations."""
        self._store, self._projects = store, projects

    def listed(
        self, organisation_id: UUID, user_id: UUID, project_id: UUID
    ) -> list[dict[str, Any]]:
        """With the present windows. Raises NotAMemberError, UnknownProjectError."""
        project = self._projects.found(organisation_id, user_id, project_id, Act.READ)
        with self._store.connect() as connection:
            found = read_quotas(connection, project.account_id)
        return [told(each) for each in found if each.scope_id == project_id]

    def set(
        self, organisation_id: UUID, user_id: UUID, project_id: UUID, actor: str, wanted: SetQuota
    ) -> None:
        """Allow so much in each window.

        Raises NotAMemberError, ActForbiddenError, UnknownProjectError, BeyondOwnLimitsError, and
        InvalidCommandError for a limit or a zone that cannot be.
        """
        scope = self._scope(organisation_id, user_id, project_id)
        self._quotas(actor).set(
            scope, wanted.unit, wanted.window, wanted.limit, wanted.zone, owner=True
        )

    def remove(
        self, organisation_id: UUID, user_id: UUID, project_id: UUID, actor: str, of: OfQuota
    ) -> None:
        """Bind no further call. Raises as `set`."""
        scope = self._scope(organisation_id, user_id, project_id)
        self._quotas(actor).remove(scope, of.unit, of.window, owner=True)

    def _scope(self, organisation_id: UUID, user_id: UUID, project_id: UUID) -> Scope:
        project = self._projects.found(organisation_id, user_id, project_id, Act.PROJECTS)
        return Scope(kind=ScopeKind.PROJECT, scope_id=project_id, account_id=project.account_id)

    def _quotas(self, actor: str) -> Quotas:
        people = self._store.people
        return Quotas(people, people.events, actor=actor)
