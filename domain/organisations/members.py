"""Leaving, removal, other roles, and handing over: decided by the tables, with an owner left.

| Who acts | on whom | what is asked |
|---|---|---|
| any member | themselves | they leave, unless they are the last owner |
| owner | any member | any role, removal, handing over |
| admin | developer, finance, viewer | another of these roles, removal |
| operator | any member | all of it |
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from domain.events.organisations import MemberLeft, MemberRoleChanged
from domain.organisations.organisation import LastOwnerError, UnknownMemberError, allowed
from domain.organisations.roles import Act, MemberRole, check_appoints

if TYPE_CHECKING:
    from domain.events.base import By, Stamp
    from domain.organisations.organisation import Organisation


def change_member_role(
    state: Organisation | None, by: By, stamp: Stamp, user_id: str, role: MemberRole
) -> list[MemberRoleChanged]:
    """Give a member a role; the one they have already changes nothing.

    Raises as `allowed`, UnknownMemberError, LastOwnerError, and ActForbiddenError where the one who
    acts may not give this role, or not take the present one.
    """
    known = allowed(state, by, Act.MEMBERS)
    before = _role_of(known, user_id)
    if by.user_id is not None:
        check_appoints(known.members[by.user_id], before, role)
    if before is role:
        return []
    if before is MemberRole.OWNER:
        _check_owner_left(known)
    return [_changed(known, by, stamp, user_id, role)]


def hand_over(
    state: Organisation | None, by: By, stamps: tuple[Stamp, Stamp], user_id: str
) -> list[MemberRoleChanged]:
    """Make another member the owner, and the owner who does it an admin: both or neither.

    By an operator only the first. Raises as `allowed`, and UnknownMemberError.
    """
    known = allowed(state, by, Act.CLOSE)
    if _role_of(known, user_id) is MemberRole.OWNER:
        return []
    events = [_changed(known, by, stamps[0], user_id, MemberRole.OWNER)]
    if by.user_id is not None:
        after = replace(known, version=known.version + 1)
        events.append(_changed(after, by, stamps[1], by.user_id, MemberRole.ADMIN))
    return events


def leave(
    state: Organisation | None, by: By, stamp: Stamp, user_id: str, *, deleted: bool = False
) -> MemberLeft:
    """Take a member out: themselves, or by somebody who may.

    `deleted` says that the user leaves the house. Raises as `allowed`, UnknownMemberError,
    ActForbiddenError, LastOwnerError.
    """
    own = by.user_id == user_id
    known = allowed(state, by, Act.READ if own else Act.MEMBERS)
    role = _role_of(known, user_id)
    if not own and by.user_id is not None:
        check_appoints(known.members[by.user_id], role)
    if role is MemberRole.OWNER:
        _check_owner_left(known)
    return MemberLeft(
        **known.next(by, stamp),
        user_id=user_id,
        role=str(role),
        how="deleted" if deleted else "left" if own else "removed",
    )


def _changed(
    state: Organisation, by: By, stamp: Stamp, user_id: str, role: MemberRole
) -> MemberRoleChanged:
    return MemberRoleChanged(
        **state.next(by, stamp),
        user_id=user_id,
        from_role=str(state.members[user_id]),
        to_role=str(role),
    )


def _role_of(state: Organisation, user_id: str) -> MemberRole:
    try:
        return state.members[user_id]
    except KeyError:
        message = "the organisation has no such member"
        raise UnknownMemberError(message) from None


def _check_owner_left(state: Organisation) -> None:
    if state.owners <= 1:
        message = "this is the last owner: hand the organisation over, or close it first"
        raise LastOwnerError(message)
