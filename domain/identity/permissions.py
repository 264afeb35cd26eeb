"""What may be asked for, and by whom: the one table of permissions, scopes and roles.

A permission is written `kind:what`. A key without scopes may do all that its user's role may; one
with scopes only what both allow. The names are those that Gatewayz's clients know
(`scope_permissions`: `{"read": ["usage"], "write": ["chat"]}`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from domain.errors import InvalidCommandError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Permission(StrEnum):
    """Each thing that a route can need."""

    READ_MODELS = "read:models"
    READ_USAGE = "read:usage"
    READ_PROFILE = "read:profile"
    READ_API_KEYS = "read:api_keys"
    READ_RATE_LIMITS = "read:rate_limits"
    READ_AUDIT = "read:audit_logs"
    READ_ORGANISATIONS = "read:organisations"
    READ_COUPONS = "read:coupons"
    READ_PAYMENTS = "read:payments"
    WRITE_CHAT = "write:chat"
    WRITE_EMBEDDINGS = "write:embeddings"
    WRITE_IMAGES = "write:images"
    WRITE_MODERATIONS = "write:moderations"
    WRITE_RERANK = "write:rerank"
    WRITE_PROFILE = "write:profile_update"
    WRITE_API_KEYS = "write:api_keys"
    WRITE_RATE_LIMITS = "write:rate_limits"
    WRITE_ORGANISATIONS = "write:organisations"
    WRITE_COUPONS = "write:coupons"
    WRITE_PAYMENTS = "write:payments"
    ADMIN_ROLES = "admin:roles"
    ADMIN_RATE_LIMITS = "admin:rate_limits"
    ADMIN_AUDIT = "admin:audit_logs"
    ADMIN_USERS = "admin:users"
    ADMIN_CREDITS = "admin:credits"
    ADMIN_COUPONS = "admin:coupons"
    ADMIN_PLANS = "admin:plans"
    ADMIN_SYSTEM = "admin:system"
    ADMIN_FINANCE = "admin:finance"


class Role(StrEnum):
    """What a user is to the house, the least first."""

    USER = "user"
    DEVELOPER = "developer"
    FINANCE = "finance"
    ADMIN = "admin"


EVERYTHING = "*"
"""In a list of scopes: everything of its kind."""
KINDS = ("read", "write", "admin")
SCOPES_MAX = 64
"""Most names in one kind's list."""

_OWN = frozenset(each for each in Permission if not each.startswith("admin:"))
ROLES: Mapping[Role, frozenset[Permission]] = {
    Role.USER: _OWN,
    Role.DEVELOPER: _OWN,
    Role.FINANCE: _OWN | {Permission.ADMIN_FINANCE},
    Role.ADMIN: frozenset(Permission),
}
"""What each role may, its own account and keys first."""


def scopes_of(given: Mapping[str, Sequence[str]]) -> frozenset[Permission]:
    """The permissions that lists of scopes by kind name.

    Raises InvalidCommandError for a kind or a name that there is not, and for too many.
    """
    found: set[Permission] = set()
    for kind, names in given.items():
        if kind not in KINDS:
            message = f"there are no {kind!r} scopes: there are {', '.join(KINDS)}"
            raise InvalidCommandError(message)
        if len(names) > SCOPES_MAX:
            message = (
                f"more than {SCOPES_MAX} {kind} scopes: name each once, or give {EVERYTHING!r}"
            )
            raise InvalidCommandError(message)
        of_kind = {each for each in Permission if each.startswith(f"{kind}:")}
        for name in names:
            if name == EVERYTHING:
                found |= of_kind
            elif (permission := f"{kind}:{name}") in of_kind:
                found.add(Permission(permission))
            else:
                known = ", ".join(sorted(each.removeprefix(f"{kind}:") for each in of_kind))
                message = f"there is no {kind} scope {name!r}: there are {known} and {EVERYTHING}"
                raise InvalidCommandError(message)
    return frozenset(found)


def lists_of(scopes: frozenset[Permission]) -> dict[str, list[str]]:
    """Scopes as lists by kind, sorted: the contrary of `scopes_of`."""
    return {
        kind: sorted(
            each.removeprefix(f"{kind}:") for each in scopes if each.startswith(f"{kind}:")
        )
        for kind in KINDS
    }
