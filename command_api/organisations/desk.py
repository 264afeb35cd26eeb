"""What the routes are given: who acts, on which thread, and what refusals become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

import psycopg
from eventsourcing.persistence import PersistenceError
from fastapi import Depends, Request

from command_api.organisations.commands import Organisations
from command_api.organisations.invitations import Invitations
from command_api.organisations.project_quotas import ProjectQuotas
from command_api.organisations.projects import Projects
from command_api.organisations.store import ChangedMeanwhileError, PersonalOrganisationError
from domain.errors import DomainError
from domain.events.base import By
from domain.identity.api_keys import BeyondOwnLimitsError, KeyChangedError, UnknownKeyError
from domain.organisations.organisation import (
    AlreadyMemberError,
    LastOwnerError,
    UnknownInvitationError,
    UnknownMemberError,
)
from domain.organisations.projects import UnknownProjectError
from edge.access import refused_act
from edge.clients import client_of
from edge.errors import PERMISSION, ApiError, bad_request, ledger_unavailable, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.identity.people import People
    from command_api.mails.outbox import Outbox
    from command_api.organisations.invitations import Counts
    from domain.events.base import Event
    from edge.caller import Caller

T = TypeVar("T")
P = ParamSpec("P")

TOLD: dict[type[DomainError], Callable[[str], ApiError]] = {
    UnknownKeyError: lambda _: ApiError(
        404, "api_key_not_found", "The organisation has no such API key."
    ),
    UnknownMemberError: lambda text: ApiError(404, "member_not_found", text),
    UnknownInvitationError: lambda _: ApiError(
        404,
        "invitation_not_found",
        "There is no such invitation for your verified address: GET /user/invitations lists them.",
    ),
    UnknownProjectError: lambda text: ApiError(404, "project_not_found", text),
    BeyondOwnLimitsError: lambda text: ApiError(403, "beyond_own_limits", text, kind=PERMISSION),
    AlreadyMemberError: lambda text: ApiError(409, "already_member", text),
    LastOwnerError: lambda text: ApiError(409, "last_owner", text),
    PersonalOrganisationError: lambda text: ApiError(409, "personal_organisation", text),
    ChangedMeanwhileError: lambda text: ApiError(409, "organisation_changed", text),
    KeyChangedError: lambda text: ApiError(409, "key_changed", text),
}
"""By the refusal of a command; any other is 400 `invalid_value`."""


def told(error: DomainError) -> ApiError:
    """What a caller is told of a command that was refused."""
    found = refused_act(error)
    if found is not None:
        return found
    text, make = sentence(error), TOLD.get(type(error))
    return bad_request("invalid_value", text) if make is None else make(text)


class Acting(NamedTuple):
    """A caller, as commands name who acts."""

    user_id: UUID
    by: By
    actor: str


class OrganisationDesk:
    """One for each process."""

    def __init__(
        self,
        people: People,
        outbox: Outbox,
        *,
        count: Counts,
        public_url: str | None,
        forget: Callable[[str], None],
    ) -> None:
        """`forget` is told whose keys are to be looked up anew."""
        self._people, self.forget = people, forget
        self.organisations = Organisations(people)
        self.invitations = Invitations(self.organisations.store, outbox, count, public_url)
        self.projects = Projects(self.organisations.store)
        self.quotas = ProjectQuotas(self.organisations.store, self.projects)

    async def run(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        """What a command gives, on the lane of people. Raises ApiError."""
        try:
            return await self._people.run(work, *values, **named)
        except DomainError as error:
            raise told(error) from None
        except (PersistenceError, psycopg.OperationalError):
            raise ledger_unavailable() from None

    def acting(self, caller: Caller, request: Request) -> Acting:
        """Who acts, from where."""
        origin = self._people.vault.origin(client_of(request))
        return Acting(UUID(caller.user_id), By(caller.user_id, origin), caller.actor)

    def gone(self, user_id: UUID) -> list[Event]:
        """What leaving the house means here: to be appended with it. Raises ApiError 409."""
        by, actor = By(str(user_id)), f"user:{user_id}"
        try:
            return self.organisations.leave_all(user_id, by, actor)
        except DomainError as error:
            raise told(error) from None


async def _desk_of(request: Request) -> OrganisationDesk:
    desk: OrganisationDesk = request.app.state.organisations
    return desk


Desk = Annotated[OrganisationDesk, Depends(_desk_of)]


def id_of(text: str, error: type[DomainError]) -> UUID:
    """An id of a path; raises the ApiError that there is nothing with it, for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise told(error(f"there is nothing with the id {text[:64]!r}")) from None
