"""Runs the commands on keys for the routes: on the lane of people, told at once to this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import psycopg
from eventsourcing.persistence import PersistenceError

from domain.errors import DomainError
from domain.identity.api_keys import (
    BeyondOwnLimitsError,
    KeyChangedError,
    LastKeyError,
    NameTakenError,
    TooManyKeysError,
    UnknownKeyError,
)
from domain.organisations.projects import UnknownProjectError
from domain.organisations.roles import ActForbiddenError, NotAMemberError
from edge.errors import PERMISSION, ApiError, bad_request, ledger_unavailable, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.identity.key_ring import KeyRing
    from command_api.identity.keys import Keys
    from command_api.identity.people import People

T = TypeVar("T")


class KeyCommands:
    """One for each serving process."""

    def __init__(self, people: People, ring: KeyRing) -> None:
        """`ring` forgets what changed."""
        self._people, self._ring = people, ring

    async def run(self, command: Callable[[Keys], T]) -> T:
        """What a command gives. Raises ApiError."""
        try:
            return await self._people.run(lambda: command(self._people.keys))
        except DomainError as error:
            raise told(error) from None
        except (PersistenceError, psycopg.OperationalError):
            raise ledger_unavailable() from None

    def changed(self, *key_ids: str) -> None:
        """Look these keys up anew; other processes hear of it from the database."""
        for each in key_ids:
            self._ring.forget(each)


def _no_project() -> ApiError:
    message = "You have no such project: GET /organisations/{id}/projects lists them."
    return bad_request("project_not_found", message, "project_id")


TOLD: dict[type[DomainError], Callable[[str], ApiError]] = {
    UnknownKeyError: lambda _: ApiError(404, "api_key_not_found", "You have no such API key."),
    NameTakenError: lambda text: ApiError(400, "key_name_taken", text, param="key_name"),
    TooManyKeysError: lambda text: ApiError(400, "too_many_keys", text),
    BeyondOwnLimitsError: lambda text: ApiError(403, "beyond_own_limits", text, kind=PERMISSION),
    LastKeyError: lambda text: ApiError(409, "last_key", text),
    UnknownProjectError: lambda _: _no_project(),
    NotAMemberError: lambda _: _no_project(),
    ActForbiddenError: lambda text: ApiError(403, "member_role_too_small", text, kind=PERMISSION),
    KeyChangedError: lambda text: ApiError(409, "key_changed", text),
}


def told(error: DomainError) -> ApiError:
    """What a caller is told of a command that was refused."""
    text = sentence(error)
    make = TOLD.get(type(error))
    return bad_request("invalid_value", text) if make is None else make(text)
