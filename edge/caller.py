"""Who calls, and how a route of either side asks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import msgspec

from domain.identity.permissions import ROLES, Permission, Role
from domain.organisations.roles import KEY_PERMISSIONS, MemberRole
from domain.overload.priorities import Priority

if TYPE_CHECKING:
    from domain.identity.access import Access
    from domain.identity.key_cache import KeyCache
    from domain.provider_keys.secrets import OwnKey


class Caller(msgspec.Struct, frozen=True):
    """Who calls: the key's state, with its ids as the hot path needs them."""

    key_id: str
    user_id: str
    account_id: str
    account: bytes
    masked: str
    envelope: bytes
    """The part of a hold's event that is the same for every call of this key."""
    role: Role = Role.USER
    scopes: frozenset[Permission] | None = None
    """What the key was limited to; None is all that the role may."""
    session_id: str = ""
    """Of who signed in, and shows no key: the key named then is the user's first. Else empty."""
    limits: Access | None = None
    """Whence and for what the key may be used; None for a key without such limits."""
    key: bytes = b""
    user: bytes = b""
    """Both ids again, as entries of the append have them: what quotas bind by."""
    project_id: str = ""
    """Of a project's key; empty for a key that is its user's own."""
    organisation_id: str = ""
    """Whose project it is; the user's own id for a project of the personal organisation."""
    member: MemberRole | None = None
    """What the user is in that organisation; None for a key of no project."""
    project: bytes = b""
    organisation: bytes = b""
    """The ids of both as entries have them; empty for a key of no project."""
    live: bool = True
    """Whether the key is of the environment `live`."""
    plan: bytes = b""
    """The ids of the scopes of the user's plan as entries have them; empty where none binds."""
    planned: bool = False
    """Whether the user has a plan, which may limit how fast the key calls."""
    priority: Priority = Priority.MEDIUM
    """Whose calls come first where there are too many."""
    cache: KeyCache | None = None
    """How the key opts its calls in to the cache; None where it does not."""
    own_keys: tuple[OwnKey, ...] = ()
    """The provider keys that its calls use in the place of the house's, opened."""

    @property
    def owner_id(self) -> str:
        """The organisation with whose data key is sealed what is kept for the caller's account: the
        user's own, which has the user's id, for a key of no project.
        """
        return self.organisation_id or self.user_id

    @property
    def actor(self) -> str:
        """Who acts, as events name it."""
        return f"user:{self.user_id}" if self.session_id else f"api_key:{self.key_id}"

    def may(self, permission: Permission) -> bool:
        """Whether role, scopes and membership allow it."""
        return (
            permission in ROLES[self.role]
            and (self.scopes is None or permission in self.scopes)
            and (self.member is None or permission in KEY_PERMISSIONS[self.member])
        )


Authenticate = Callable[[bytes, str], Awaitable[Caller]]
"""The caller behind an Authorization header, who asks from an address.

Raises ApiError 401, 429 or 503.
"""
