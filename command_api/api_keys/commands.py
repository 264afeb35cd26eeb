"""Runs the commands on keys for the routes: on threads of their own, told at once to this process.

The library that saves is blocking, and the default executor is the ledger's (ADR 0019).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeVar

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.identity.keys import Keys
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
from edge.errors import PERMISSION, ApiError, bad_request, ledger_unavailable, unavailable
from edge.lanes import Lane
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.identity.key_ring import KeyRing
    from command_api.identity.vault import Vault
    from event_store.postgres.database import Database

T = TypeVar("T")
THREADS = 2
WAITING_MAX = 64
"""Most commands of a process that wait for a thread; more are refused."""


def _too_many() -> ApiError:
    message = "Too many changes of keys wait here already. Nothing was changed: try again."
    return unavailable("key_changes_busy", message)


class KeyCommands:
    """One for each serving process."""

    def __init__(self, database: Database, vault: Vault, ring: KeyRing, *, keys_max: int) -> None:
        """Nothing is connected yet. `ring` forgets what changed."""
        self._database, self._vault, self._ring, self._keys_max = database, vault, ring, keys_max
        self._lane = Lane("key-commands", threads=THREADS, waiting_max=WAITING_MAX, busy=_too_many)
        self._lock = threading.Lock()
        self._aggregates: Aggregates | None = None

    async def run(self, command: Callable[[Keys], T]) -> T:
        """What a command gives. Raises ApiError."""
        try:
            return await self._lane.run(self._command, command)
        except DomainError as error:
            raise told(error) from None
        except (PersistenceError, psycopg.OperationalError):
            raise ledger_unavailable() from None

    def changed(self, *key_ids: str) -> None:
        """Look these keys up anew; other processes hear of it from the database."""
        for each in key_ids:
            self._ring.forget(each)

    def close(self) -> None:
        """Begin nothing more, and disconnect."""
        self._lane.close()
        with self._lock:
            if self._aggregates is not None:
                self._aggregates.close()

    def _command(self, command: Callable[[Keys], T]) -> T:
        with self._lock:
            if self._aggregates is None:
                # The library would wait half a minute for a database that is away.
                self._database.connect().close()
                self._aggregates = Aggregates(self._database)
        keys = Keys(self._database, self._vault, self._aggregates, keys_max=self._keys_max)
        return command(keys)


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
    text = str(error)
    text = f"{text[:1].upper()}{text[1:]}."
    make = TOLD.get(type(error))
    return bad_request("invalid_value", text) if make is None else make(text)
