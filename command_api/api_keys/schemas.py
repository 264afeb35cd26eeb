"""Bodies of the routes of API keys. A member that nobody knows is refused: a list that is
misspelt would else leave a key wide open. `null` is as if a member were not there.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from domain.errors import InvalidCommandError
from domain.identity.access import ADDRESSES, MODELS, PROVIDERS, REFERRERS, SCOPES
from domain.identity.key_format import Environment  # noqa: TC001 - msgspec reads annotations.
from domain.identity.permissions import scopes_of
from domain.quotas.terms import LIMIT_MAX
from providers.inference.registry.built_in import OTHER_NAMES

BODY_BYTES_MAX = 256 * 1024
EXPIRATION_DAYS_MAX = 36_500
GRACE_HOURS_MAX = 8_760
"""A year: longer than that the old writing of a key need not open."""

Days = Annotated[int, msgspec.Meta(ge=1, le=EXPIRATION_DAYS_MAX)]
Requests = Annotated[int, msgspec.Meta(ge=1, le=LIMIT_MAX)]
UNLIMITED = "unlimited"
"""As `max_requests` of a change: the limit is lifted."""
Hours = Annotated[int, msgspec.Meta(ge=0, le=GRACE_HOURS_MAX)]


class _Limited(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The lists of a key, its end, and its wish of the cache."""

    scope_permissions: dict[str, list[str]] | None = None
    ip_allowlist: list[str] | None = None
    domain_referrers: list[str] | None = None
    models: list[str] | None = None
    providers: list[str] | None = None
    expiration_days: Days | None = None
    cache: dict[str, Any] | None = None
    """How its calls use the cache; an empty one opts them out."""

    def limits(self) -> dict[str, list[str]]:
        """Those that are given, as the domain names them. Raises InvalidCommandError."""
        given = {
            SCOPES: _scopes(self.scope_permissions),
            ADDRESSES: self.ip_allowlist,
            REFERRERS: self.domain_referrers,
            MODELS: self.models,
            PROVIDERS: self.providers and [OTHER_NAMES.get(each, each) for each in self.providers],
        }
        return {name: each for name, each in given.items() if each is not None}


class CreateKey(_Limited):
    """POST /user/api-keys."""

    key_name: str
    max_requests: Requests | None = None
    environment_tag: Environment | None = None
    project_id: str | None = None
    action: Literal["create"] | None = None


class ChangeKey(_Limited):
    """PUT /user/api-keys/{id}."""

    key_name: str | None = None
    max_requests: Requests | Literal["unlimited"] | None = None
    is_active: bool | None = None
    action: Literal["update", "rotate", "bulk_rotate"] | None = None
    environment_tag: Environment | None = None
    grace_hours: Hours | None = None


class DeleteKey(msgspec.Struct, forbid_unknown_fields=True):
    """DELETE /user/api-keys/{id}."""

    confirmation: str


decode_create = msgspec.json.Decoder(CreateKey).decode
decode_change = msgspec.json.Decoder(ChangeKey).decode
decode_delete = msgspec.json.Decoder(DeleteKey).decode


def _scopes(given: dict[str, list[str]] | None) -> list[str] | None:
    """Permissions by name; an empty object lifts the limit, empty lists alone are refused."""
    if not given:
        return None if given is None else []
    scopes = sorted(scopes_of(given))
    if not scopes:
        message = "scope_permissions names nothing, so the key could do nothing: give {} for all"
        raise InvalidCommandError(message)
    return list(scopes)
