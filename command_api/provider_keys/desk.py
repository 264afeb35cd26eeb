"""What the routes are given: the commands on the lane of people, and what refusals become."""

from __future__ import annotations

from typing import TYPE_CHECKING, ParamSpec, TypeVar

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.provider_keys.checking import KeyChecks
from command_api.provider_keys.commands import ProviderKeyChangedError, ProviderKeys
from domain.errors import DomainError
from domain.organisations.projects import UnknownProjectError
from domain.organisations.roles import ActForbiddenError, NotAMemberError
from domain.provider_keys.keys import (
    ProviderKeyTakenError,
    TooManyProviderKeysError,
    UnknownProviderKeyError,
)
from edge.errors import PERMISSION, ApiError, bad_request, ledger_unavailable, sentence

if TYPE_CHECKING:
    from collections.abc import Callable

    from command_api.identity.people import People
    from providers.inference.registry.registry import Registry

T = TypeVar("T")
P = ParamSpec("P")
NAMED_MAX = 64
"""Characters of a wrong name that are told again."""


def _no_project() -> ApiError:
    message = "You have no such project: GET /organisations/{id}/projects lists them."
    return ApiError(404, "project_not_found", message, param="project_id")


def _no_key() -> ApiError:
    message = "You have no such provider key: GET /user/provider-keys lists them."
    return ApiError(404, "provider_key_not_found", message)


TOLD: dict[type[DomainError], Callable[[str], ApiError]] = {
    UnknownProviderKeyError: lambda _: _no_key(),
    UnknownProjectError: lambda _: _no_project(),
    NotAMemberError: lambda _: _no_project(),
    ActForbiddenError: lambda text: ApiError(403, "member_role_too_small", text, kind=PERMISSION),
    ProviderKeyTakenError: lambda text: ApiError(
        409, "provider_key_exists", text, param="provider"
    ),
    ProviderKeyChangedError: lambda text: ApiError(409, "provider_key_changed", text),
    TooManyProviderKeysError: lambda text: ApiError(400, "too_many_provider_keys", text),
}


def told(error: DomainError) -> ApiError:
    """What a caller is told of a command that was refused; other refusals name their member."""
    text, make = sentence(error), TOLD.get(type(error))
    if make is not None:
        return make(text)
    param = str(error).partition(":")[0]
    return bad_request("invalid_value", text, param if param.isidentifier() else None)


class ProviderKeyDesk:
    """One for each process."""

    def __init__(
        self,
        people: People,
        registry: Registry,
        *,
        organisation_max: int,
        forget: Callable[[str], None],
    ) -> None:
        """`forget` is told whose API keys are to be looked up anew."""
        self._people, self._registry, self.forget = people, registry, forget
        self.keys = ProviderKeys(people, organisation_max=organisation_max)
        self.checks = KeyChecks(registry)

    async def run(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        """What a command gives, on the lane of people. Raises ApiError."""
        try:
            return await self._people.run(work, *values, **named)
        except DomainError as error:
            raise told(error) from None
        except (PersistenceError, psycopg.OperationalError):
            raise ledger_unavailable() from None

    def origin(self, address: str) -> str:
        """What stands for an address in events."""
        return self._people.vault.origin(address)

    def check_provider(self, name: str) -> str:
        """A provider that takes own keys; raises ApiError 400 for any other."""
        known = self._registry.providers.get(name)
        if known is None:
            message = (
                f"provider {name[:NAMED_MAX]!r} is not configured here: GET /v1/provider lists "
                "those that are."
            )
            raise bad_request("unknown_provider", message, "provider")
        if known.keyed is None:
            message = (
                f"{name} takes no provider key: it needs none, or more than one secret, which is "
                "not supported."
            )
            raise bad_request("provider_takes_no_key", message, "provider")
        return name
