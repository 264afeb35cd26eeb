"""Who may do what in an organisation, decided without a database."""

from __future__ import annotations

from dataclasses import replace
from itertools import count, product
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.errors import DomainError, InvalidCommandError
from domain.events.base import By
from domain.events.organisations import OrganisationCreated, ProjectCreated
from domain.organisations.members import change_member_role, hand_over, leave
from domain.organisations.memberships import KnownProject, Memberships
from domain.organisations.organisation import (
    INVITATIONS_MAX,
    MEMBERS_MAX,
    REASON_CHARACTERS_MAX,
    AlreadyMemberError,
    Invitation,
    LastOwnerError,
    Organisation,
    UnknownInvitationError,
    UnknownMemberError,
    allowed,
    close,
    end_invitation,
    evolve_organisation,
    invite,
    join,
    rename,
    replay_organisation,
)
from domain.organisations.projects import (
    UnknownProjectError,
    archive_project,
    check_name,
    rename_project,
    replay_project,
)
from domain.organisations.roles import (
    ACTS,
    APPOINTS,
    KEY_PERMISSIONS,
    Act,
    ActForbiddenError,
    MemberRole,
    NotAMemberError,
    check_act,
    member_role_named,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.events.base import Event, Stamp

ID = UUID("00000000-0000-7000-8000-000000000001")
OWNER, ADMIN, DEVELOPER, FINANCE, VIEWER = MemberRole
NOW, LATER = "2026-01-01T00:00:00.000000Z", "2026-01-08T00:00:00.000000Z"
_numbers = count()


def stamp(now: str = NOW) -> Stamp:
    """What events of one act carry."""
    return {"id": f"e{next(_numbers)}", "effective_at": now, "actor": "t", "correlation_id": "c"}


CREATED = OrganisationCreated(
    originator_id=ID,
    originator_version=1,
    **stamp(),
    account_id="a",
    user_id="owner",
    name_ciphertext="00",
)
FULL = Organisation(ID, 7, "a", {str(each): each for each in MemberRole})
"""One member of each role, whose id is its name."""
OPERATOR = By(reason="asked for")


def by(role: str) -> By:
    """The member of a role, as who acts."""
    return By(role)


def test_what_each_role_may_is_the_table() -> None:
    """Nobody may what a role above may not; strangers see nothing (rule: access)."""
    for role, act in product(MemberRole, Act):
        if act in ACTS[role]:
            assert allowed(FULL, by(role), act) is FULL
            check_act(role, act)
        else:
            with pytest.raises(ActForbiddenError, match="is for owner"):
                allowed(FULL, by(role), act)
    with pytest.raises(NotAMemberError):
        allowed(FULL, by("stranger"), Act.READ)
    for state in (None, replace(FULL, closed=True)):
        with pytest.raises(NotAMemberError):
            allowed(state, OPERATOR, Act.READ)
    assert allowed(FULL, OPERATOR, Act.CLOSE) is FULL
    with pytest.raises(InvalidCommandError, match="reason"):
        allowed(FULL, By(reason="x" * (REASON_CHARACTERS_MAX + 1)), Act.READ)
    assert ACTS[OWNER] == frozenset(Act)
    assert all(KEY_PERMISSIONS[each] <= KEY_PERMISSIONS[OWNER] for each in MemberRole)
    assert member_role_named("finance") is FINANCE
    with pytest.raises(InvalidCommandError, match="there are owner, admin"):
        member_role_named("root")


@pytest.mark.parametrize("acting", MemberRole)
def test_who_may_appoint_and_remove_whom_is_the_table(acting: MemberRole) -> None:
    """Both the role that is taken and the one that is given must be theirs (rule: access)."""
    many = replace(FULL, members={**FULL.members, "other": OWNER})
    for target, role in product(MemberRole, MemberRole):
        may = {target, role} <= APPOINTS[acting]
        if may:
            events = change_member_role(many, by(acting), stamp(), str(target), role)
            assert [(each.from_role, each.to_role) for each in events] == (
                [] if role is target else [(target, role)]
            )
        else:
            with pytest.raises(ActForbiddenError):
                change_member_role(many, by(acting), stamp(), str(target), role)
    for target in MemberRole:
        if target is acting or target in APPOINTS[acting]:
            left = leave(many, by(acting), stamp(), str(target))
            assert left.how == ("left" if target is acting else "removed")
        else:
            with pytest.raises(ActForbiddenError):
                leave(many, by(acting), stamp(), str(target))
        invitation = Invitation(target, LATER)
        if target in APPOINTS[acting]:
            assert invite(many, by(acting), stamp(), "i", invitation).role == target
        else:
            with pytest.raises(ActForbiddenError):
                invite(many, by(acting), stamp(), "i", invitation)


def test_the_last_owner_stays_one() -> None:
    """Nobody takes the role from them, and they leave not even with the house (rule: access)."""
    for act in (
        lambda: change_member_role(FULL, by("owner"), stamp(), "owner", ADMIN),
        lambda: change_member_role(FULL, OPERATOR, stamp(), "owner", ADMIN),
        lambda: leave(FULL, by("owner"), stamp(), "owner"),
        lambda: leave(FULL, by("owner"), stamp(), "owner", deleted=True),
        lambda: leave(FULL, OPERATOR, stamp(), "owner"),
    ):
        with pytest.raises(LastOwnerError, match="hand the organisation over"):
            act()
    assert leave(FULL, by("admin"), stamp(), "admin", deleted=True).how == "deleted"
    for wrong in ("stranger", ""):
        with pytest.raises(UnknownMemberError):
            change_member_role(FULL, OPERATOR, stamp(), wrong, ADMIN)


def test_handing_over_is_both_or_neither() -> None:
    """The new owner and the old one's step down; who is one stays one (rule: access)."""
    first, second = hand_over(FULL, by("owner"), (stamp(), stamp()), "viewer")
    assert (first.user_id, first.to_role) == ("viewer", "owner")
    assert (second.user_id, second.from_role, second.to_role) == ("owner", "owner", "admin")
    assert (first.originator_version, second.originator_version) == (8, 9)
    assert hand_over(FULL, by("owner"), (stamp(), stamp()), "owner") == []
    assert len(hand_over(FULL, OPERATOR, (stamp(), stamp()), "viewer")) == 1
    with pytest.raises(ActForbiddenError):
        hand_over(FULL, by("admin"), (stamp(), stamp()), "admin")


def test_an_invitation_is_good_once_until_its_end() -> None:
    """Accepted, declined or withdrawn it is over; so it is after its time (rule: access)."""
    state = replay_organisation([CREATED])
    assert state is not None
    invited = invite(state, by("owner"), stamp(), "i", Invitation(VIEWER, LATER))
    state = evolve_organisation(state, invited)
    joined = join(state, by("ann"), stamp(), "ann", invitation_id="i")
    assert (joined.role, joined.account_id, joined.originator_version) == ("viewer", "a", 3)
    with pytest.raises(UnknownInvitationError, match="over"):
        join(state, by("ann"), stamp(LATER), "ann", invitation_id="i")
    with pytest.raises(AlreadyMemberError):
        join(state, by("owner"), stamp(), "owner", invitation_id="i")
    after = evolve_organisation(state, joined)
    for again in (
        lambda: join(after, by("ann"), stamp(), "bob", invitation_id="i"),
        lambda: end_invitation(after, by("ann"), stamp(), "i", withdrawn=False),
        lambda: end_invitation(after, by("owner"), stamp(), "i", withdrawn=True),
        lambda: end_invitation(None, by("ann"), stamp(), "i", withdrawn=False),
        lambda: join(replace(FULL, closed=True), by("ann"), stamp(), "ann", invitation_id="i"),
    ):
        with pytest.raises(UnknownInvitationError):
            again()
    declined = end_invitation(state, by("ann"), stamp(), "i", withdrawn=False)
    withdrawn = end_invitation(state, by("owner"), stamp(), "i", withdrawn=True)
    assert (declined.how, withdrawn.how) == ("declined", "withdrawn")
    gone = evolve_organisation(state, withdrawn)
    assert gone is not None
    assert gone.invitations == {}
    admins = replace(FULL, invitations={"i": Invitation(OWNER, LATER)})
    with pytest.raises(ActForbiddenError):
        end_invitation(admins, by("admin"), stamp(), "i", withdrawn=True)


def test_members_and_invitations_have_a_most() -> None:
    """Those that ran out do not count (rule: bounded)."""
    some = {str(each): Invitation(VIEWER, LATER) for each in range(INVITATIONS_MAX)}
    full = replace(FULL, invitations=some)
    with pytest.raises(InvalidCommandError, match="100 invitations"):
        invite(full, by("owner"), stamp(), "i", Invitation(VIEWER, LATER))
    assert invite(full, by("owner"), stamp(LATER), "i", Invitation(VIEWER, LATER)).role == VIEWER
    crowd = replace(FULL, members={str(each): VIEWER for each in range(MEMBERS_MAX)})
    with pytest.raises(InvalidCommandError, match="at most 1000 members"):
        join(crowd, OPERATOR, stamp(), "ann", role=VIEWER)
    assert join(FULL, OPERATOR, stamp(), "ann", role=VIEWER).invitation_id is None


def test_a_closed_organisation_has_nobody() -> None:
    """And takes nobody; its name can be changed until then (rule: access)."""
    named = rename(FULL, by("admin"), stamp(), "07")
    assert evolve_organisation(FULL, named) == replace(FULL, version=8)
    closed = evolve_organisation(FULL, close(FULL, by("owner"), stamp()))
    assert closed == replace(FULL, version=8, members={}, invitations={}, closed=True)
    with pytest.raises(NotAMemberError):
        rename(closed, by("owner"), stamp(), "07")
    assert evolve_organisation(None, named) is None


def test_a_project_is_named_until_it_is_archived() -> None:
    """The same name again changes nothing (rule: refuse clearly)."""
    made = ProjectCreated(
        originator_id=ID,
        originator_version=1,
        **stamp(),
        organisation_id="o",
        account_id="a",
        name="search",
    )
    state = replay_project([made])
    assert rename_project(state, " search ", OPERATOR, stamp()) == []
    (renamed,) = rename_project(state, "find", OPERATOR, stamp())
    state = replay_project([made, renamed])
    assert state is not None
    assert (state.name, state.version, state.organisation_id) == ("find", 2, "o")
    archived = archive_project(state, OPERATOR, stamp())
    state = replay_project([made, renamed, archived, CREATED])
    for act in (
        lambda: archive_project(state, OPERATOR, stamp()),
        lambda: rename_project(state, "x", OPERATOR, stamp()),
        lambda: archive_project(replay_project([renamed]), OPERATOR, stamp()),
    ):
        with pytest.raises(UnknownProjectError):
            act()
    for wrong in ("", " ", "x" * 101, "a\nb", "a\0b"):
        with pytest.raises(InvalidCommandError, match="an organisation's name"):
            check_name(wrong, "an organisation")
    known = Memberships()
    for each in (made, renamed):
        known.apply(each)
    assert known.projects == {str(ID): KnownProject("o", "a", "find", archived=False)}
    known.apply(archived)
    assert known.projects[str(ID)].archived


def test_each_event_of_a_life_folds_alike() -> None:
    """Of one organisation and of all, the same members are left (rule: access)."""
    log: list[Event] = [CREATED]
    for act in (
        lambda state: join(state, OPERATOR, stamp(), "ann", role=VIEWER),
        lambda state: join(state, OPERATOR, stamp(), "bob", role=VIEWER),
        lambda state: change_member_role(state, by("owner"), stamp(), "ann", FINANCE),
        lambda state: leave(state, by("bob"), stamp(), "bob"),
    ):
        made = act(replay_organisation(log))
        log += made if isinstance(made, list) else [made]
    state, known = replay_organisation(log), Memberships()
    for each in log:
        known.apply(each)
    assert state is not None
    assert state.members == {"owner": "owner", "ann": "finance"}
    assert {user: role for (_, user), role in known.members.items()} == state.members
    known.apply(close(state, by("owner"), stamp()))
    assert (known.members, known.organisations) == ({}, {str(ID): ("a", True)})


ACTORS = ("owner", "ann", "bob", "eve", None)
ACTIONS: tuple[Callable[..., Any], ...] = (
    lambda state, who, whom, role: invite(
        state, who, stamp(), f"i {whom}", Invitation(role, LATER)
    ),
    lambda state, who, whom, _: join(state, who, stamp(), whom, invitation_id=f"i {whom}"),
    lambda state, who, whom, role: join(state, who, stamp(), whom, role=role),
    lambda state, who, whom, _: end_invitation(state, who, stamp(), f"i {whom}", withdrawn=True),
    lambda state, who, whom, role: change_member_role(state, who, stamp(), whom, role),
    lambda state, who, whom, _: hand_over(state, who, (stamp(), stamp()), whom),
    lambda state, who, whom, _: leave(state, who, stamp(), whom),
    lambda state, who, *_: close(state, who, stamp()),
)


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(ACTIONS[:-1]) | st.sampled_from(ACTIONS),
            st.sampled_from(ACTORS),
            st.sampled_from(("owner", "ann", "bob", "eve")),
            st.sampled_from(list(MemberRole)),
        ),
        max_size=40,
    )
)
def test_whatever_is_done_an_open_organisation_has_an_owner(acts: list[Any]) -> None:
    """Versions follow each other, and the fold of all memberships says the same (rule: access)."""
    log: list[Event] = [CREATED]
    for act, who, whom, role in acts:
        try:
            made = act(replay_organisation(log), By(who), whom, role)
        except DomainError:
            continue
        log += made if isinstance(made, list) else [made]
    state = replay_organisation(log)
    assert state is not None
    assert [each.originator_version for each in log] == list(range(1, len(log) + 1))
    assert state.closed or state.owners >= 1
    known = Memberships()
    for each in log:
        known.apply(each)
    assert known.organisations == {str(ID): ("a", state.closed)}
    assert {user: role for (_, user), role in known.members.items()} == state.members
