"""What members may do: the tables of acts, of appointments, and of what a project's keys open."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from domain.errors import DomainError, InvalidCommandError
from domain.identity.permissions import Permission

if TYPE_CHECKING:
    from collections.abc import Mapping


class MemberRole(StrEnum):
    """What a member is to an organisation, the most first."""

    OWNER = "owner"
    ADMIN = "admin"
    DEVELOPER = "developer"
    FINANCE = "finance"
    VIEWER = "viewer"


class Act(StrEnum):
    """What somebody may do in an organisation."""

    READ = "see the organisation, its members and projects"
    MONEY = "see its credits and statement"
    GIVE = "give its credits to members"
    KEYS = "make keys of its projects"
    AUDIT = "see its audit"
    PROJECTS = "make, change and archive projects, and set their quotas"
    PROVIDER_KEYS = "store, change and remove provider keys of its projects"
    ALL_KEYS = "see and revoke the keys of all members"
    MEMBERS = "invite, change and remove members"
    RENAME = "rename it"
    CLOSE = "close it or hand it over"


ACTS: Mapping[MemberRole, frozenset[Act]] = {
    MemberRole.OWNER: frozenset(Act),
    MemberRole.ADMIN: frozenset(Act) - {Act.CLOSE},
    MemberRole.DEVELOPER: frozenset({Act.READ, Act.MONEY, Act.KEYS}),
    MemberRole.FINANCE: frozenset({Act.READ, Act.MONEY, Act.AUDIT, Act.GIVE}),
    MemberRole.VIEWER: frozenset({Act.READ, Act.MONEY}),
}
"""What each role may."""

APPOINTS: Mapping[MemberRole, frozenset[MemberRole]] = {
    MemberRole.OWNER: frozenset(MemberRole),
    MemberRole.ADMIN: frozenset({MemberRole.DEVELOPER, MemberRole.FINANCE, MemberRole.VIEWER}),
    MemberRole.DEVELOPER: frozenset(),
    MemberRole.FINANCE: frozenset(),
    MemberRole.VIEWER: frozenset(),
}
"""Which roles each may give to somebody, and take from somebody who has them."""

_READS = frozenset({Permission.READ_MODELS, Permission.READ_USAGE})
_CALLS = _READS | {
    Permission.WRITE_CHAT,
    Permission.WRITE_EMBEDDINGS,
    Permission.WRITE_IMAGES,
    Permission.WRITE_MODERATIONS,
    Permission.WRITE_RERANK,
    Permission.READ_RATE_LIMITS,
}
_PAYS = frozenset({Permission.READ_PAYMENTS, Permission.WRITE_PAYMENTS})
KEY_PERMISSIONS: Mapping[MemberRole, frozenset[Permission]] = {
    MemberRole.OWNER: _CALLS | _PAYS,
    MemberRole.ADMIN: _CALLS | _PAYS,
    MemberRole.DEVELOPER: _CALLS,
    MemberRole.FINANCE: _READS | _PAYS,
    MemberRole.VIEWER: _READS,
}
"""What a project's key opens at most, by the present role of the member who made it. It stands for
the project, never for the member: it reads no profile and manages no keys. It buys credits for the
organisation that pays for it.
"""


class NotAMemberError(DomainError):
    """Whoever asks is no member, and is told no more than that there is nothing."""

    code = "organisation_not_found"


class ActForbiddenError(DomainError):
    """A member's role does not allow it."""

    code = "member_role_too_small"


def member_role_named(text: str) -> MemberRole:
    """One of the roles; raises InvalidCommandError naming those there are."""
    try:
        return MemberRole(text)
    except ValueError:
        message = f"there is no member's role {text[:64]!r}: there are {', '.join(MemberRole)}"
        raise InvalidCommandError(message) from None


def check_act(role: MemberRole | None, act: Act) -> None:
    """Raise NotAMemberError for nobody's role, ActForbiddenError for one that is too small."""
    if role is None:
        message = "there is no organisation of yours with this id"
        raise NotAMemberError(message)
    if act not in ACTS[role]:
        allowed = ", ".join(each for each in MemberRole if act in ACTS[each])
        message = f"to {act} is for {allowed}, and you are {role} here"
        raise ActForbiddenError(message)


def check_appoints(role: MemberRole, *concerned: MemberRole) -> None:
    """Raise ActForbiddenError where a role may not give or take one of these."""
    for each in concerned:
        if each not in APPOINTS[role]:
            message = f"only {MemberRole.OWNER} gives or takes the role {each}"
            raise ActForbiddenError(message)
