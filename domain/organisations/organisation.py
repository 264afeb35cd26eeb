"""An organisation with its members and invitations: events evolve state, commands decide events.

One stream holds all of them, so whoever decides late is refused by its version, and the last owner
stays however many leave at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from domain.errors import DomainError, InvalidCommandError
from domain.events.organisations import (
    InvitationEnded,
    MemberInvited,
    MemberJoined,
    MemberLeft,
    MemberRoleChanged,
    OrganisationClosed,
    OrganisationCreated,
    OrganisationRenamed,
)
from domain.organisations.roles import (
    Act,
    MemberRole,
    NotAMemberError,
    check_act,
    check_appoints,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from domain.events.base import By, Event, Stamp

T = TypeVar("T")
MEMBERS_MAX = 1_000
INVITATIONS_MAX = 100
"""Most invitations of an organisation that are open at a time."""
REASON_CHARACTERS_MAX = 1_000


class LastOwnerError(DomainError):
    """Without them the organisation had no owner."""

    code = "last_owner"


class UnknownMemberError(DomainError):
    """The organisation has no such member."""

    code = "member_not_found"


class AlreadyMemberError(DomainError):
    """They are a member already."""

    code = "already_member"


class UnknownInvitationError(DomainError):
    """There is no such invitation, or none any more."""

    code = "invitation_not_found"


class Invitation(NamedTuple):
    """An open invitation."""

    role: MemberRole
    expires_at: str


@dataclass(frozen=True, slots=True)
class Organisation:
    """State of one organisation."""

    id: UUID
    version: int
    account_id: str
    members: Mapping[str, MemberRole]
    invitations: Mapping[str, Invitation] = field(default_factory=dict)
    closed: bool = False

    def next(self, by: By, stamp: Stamp) -> dict[str, Any]:
        """What its next event carries in any case."""
        return {
            "originator_id": self.id,
            "originator_version": self.version + 1,
            "account_id": self.account_id,
            **stamp,
            **by.told(),
        }

    @property
    def owners(self) -> int:
        """How many owners it has."""
        return sum(role is MemberRole.OWNER for role in self.members.values())

    def open_invitations(self, now: str) -> int:
        """How many invitations can be accepted at an instant."""
        return sum(each.expires_at > now for each in self.invitations.values())


def evolve_organisation(state: Organisation | None, event: Event) -> Organisation | None:
    """The next state of an organisation."""
    if isinstance(event, OrganisationCreated):
        owner = {event.user_id: MemberRole.OWNER}
        return Organisation(event.originator_id, event.originator_version, event.account_id, owner)
    if state is None:
        return None
    members, invitations, closed = state.members, state.invitations, state.closed
    match event:
        case MemberInvited():
            made = Invitation(MemberRole(event.role), event.expires_at)
            invitations = {**invitations, event.invitation_id: made}
        case InvitationEnded():
            invitations = _without(invitations, event.invitation_id)
        case MemberJoined():
            members = {**members, event.user_id: MemberRole(event.role)}
            invitations = _without(invitations, event.invitation_id or "")
        case MemberRoleChanged():
            members = {**members, event.user_id: MemberRole(event.to_role)}
        case MemberLeft():
            members = _without(members, event.user_id)
        case OrganisationClosed():
            members, invitations, closed = {}, {}, True
        case _:
            pass
    return replace(
        state,
        version=event.originator_version,
        members=members,
        invitations=invitations,
        closed=closed,
    )


def replay_organisation(events: Iterable[Event]) -> Organisation | None:
    """An organisation's state after its events."""
    state: Organisation | None = None
    for event in events:
        state = evolve_organisation(state, event)
    return state


def allowed(state: Organisation | None, by: By, act: Act) -> Organisation:
    """The organisation, for who may do this in it; an operator may do everything.

    Raises NotAMemberError, ActForbiddenError, and InvalidCommandError for a reason too long.
    """
    if len(by.reason) > REASON_CHARACTERS_MAX:
        message = f"a reason has at most {REASON_CHARACTERS_MAX} characters"
        raise InvalidCommandError(message)
    if state is None or state.closed:
        message = "there is no organisation with this id, or it was closed"
        raise NotAMemberError(message)
    if by.user_id is not None:
        check_act(state.members.get(by.user_id), act)
    return state


def rename(
    state: Organisation | None, by: By, stamp: Stamp, name_ciphertext: str
) -> OrganisationRenamed:
    """Give it another name. Raises as `allowed`."""
    known = allowed(state, by, Act.RENAME)
    return OrganisationRenamed(
        **known.next(by, stamp),
        name_ciphertext=name_ciphertext,
    )


def close(state: Organisation | None, by: By, stamp: Stamp) -> OrganisationClosed:
    """Close it for ever. Raises as `allowed`."""
    known = allowed(state, by, Act.CLOSE)
    return OrganisationClosed(
        **known.next(by, stamp),
    )


def invite(
    state: Organisation | None,
    by: By,
    stamp: Stamp,
    invitation_id: str,
    invitation: Invitation,
) -> MemberInvited:
    """Invite somebody. Raises as `allowed`, and InvalidCommandError where there are too many."""
    known = allowed(state, by, Act.MEMBERS)
    _check_appointed(known, by, invitation.role)
    if known.open_invitations(stamp["effective_at"]) >= INVITATIONS_MAX:
        message = f"{INVITATIONS_MAX} invitations are open already: withdraw one, or wait"
        raise InvalidCommandError(message)
    return MemberInvited(
        **known.next(by, stamp),
        invitation_id=invitation_id,
        role=str(invitation.role),
        expires_at=invitation.expires_at,
    )


def end_invitation(
    state: Organisation | None, by: By, stamp: Stamp, invitation_id: str, *, withdrawn: bool
) -> InvitationEnded:
    """End an invitation that was not accepted: by the organisation, or by who was invited.

    Raises as `allowed` where it is withdrawn, and UnknownInvitationError.
    """
    known = _open(state) if not withdrawn else allowed(state, by, Act.MEMBERS)
    invitation = _invitation(known, invitation_id)
    if withdrawn:
        _check_appointed(known, by, invitation.role)
    return InvitationEnded(
        **known.next(by, stamp),
        invitation_id=invitation_id,
        how="withdrawn" if withdrawn else "declined",
    )


def join(
    state: Organisation | None,
    by: By,
    stamp: Stamp,
    user_id: str,
    *,
    invitation_id: str | None = None,
    role: MemberRole | None = None,
) -> MemberJoined:
    """Make a user a member, by an invitation or (an operator) with a role.

    Raises UnknownInvitationError for an invitation that is over, AlreadyMemberError, and
    InvalidCommandError for a full organisation.
    """
    known = _open(state)
    if invitation_id is not None:
        invitation = _invitation(known, invitation_id)
        if invitation.expires_at <= stamp["effective_at"]:
            message = "the invitation is over: ask for another one"
            raise UnknownInvitationError(message)
        role = invitation.role
    assert role is not None, "an invitation has a role, an operator names one"
    if user_id in known.members:
        message = "they are a member already"
        raise AlreadyMemberError(message)
    if len(known.members) >= MEMBERS_MAX:
        message = f"an organisation has at most {MEMBERS_MAX} members"
        raise InvalidCommandError(message)
    return MemberJoined(
        **known.next(by, stamp),
        user_id=user_id,
        role=str(role),
        invitation_id=invitation_id,
    )


def _check_appointed(state: Organisation, by: By, *concerned: MemberRole) -> None:
    if by.user_id is not None:
        check_appoints(state.members[by.user_id], *concerned)


def _open(state: Organisation | None) -> Organisation:
    if state is None or state.closed:
        message = "there is no such invitation"
        raise UnknownInvitationError(message)
    return state


def _invitation(state: Organisation, invitation_id: str) -> Invitation:
    found = state.invitations.get(invitation_id)
    if found is None:
        message = "there is no such invitation, or none any more"
        raise UnknownInvitationError(message)
    return found


def _without(known: Mapping[str, T], name: str) -> dict[str, T]:
    return {each: value for each, value in known.items() if each != name}
