"""Coupons by their rules: what can be one, what changes it, who redeems it and who does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.coupons.all import AllCoupons
from domain.coupons.coupon import (
    Changes,
    Coupon,
    NewCoupon,
    change_coupon,
    create_coupon,
    evolve_coupon,
    lot_of,
    replay_coupon,
)
from domain.coupons.redemption import RULES, RedemptionError, redeem_coupon
from domain.coupons.terms import (
    USES_MAX,
    VALUE_NANO_USD_MAX,
    CouponKind,
    CouponScope,
    InvalidCouponError,
    code_of,
)
from domain.events.base import By
from domain.events.offers.coupons import CouponChanged, CouponDeactivated, CouponRedeemed
from domain.events.profile import UserDeleted

ID, ACCOUNT, OTHER = UUID(int=1), UUID(int=2), UUID(int=3)
BY = By("admin", "origin-1")
BEGINS, NOW, ENDS = "2027-01-01T00:00:00.000000Z", "2027-01-02", "2027-01-03T00:00:00.000000Z"


def stamp() -> Any:
    """What every event carries."""
    return {"id": "e", "effective_at": NOW, "actor": "a", "correlation_id": "c"}


def wanted(**more: Any) -> NewCoupon:
    """A coupon for everybody."""
    members: dict[str, Any] = {
        "code": "Summer-27",
        "value_nano_usd": 5,
        "scope": CouponScope.GLOBAL,
        "kind": CouponKind.PROMOTIONAL,
        "max_uses": 2,
        "valid_from": BEGINS,
        "valid_until": ENDS,
    }
    return NewCoupon(**{**members, **more})


def coupon(**more: Any) -> Coupon:
    """The same, made."""
    state = replay_coupon([create_coupon(ID, wanted(**more), NOW, BY, stamp())])
    assert state is not None
    return state


def redeemed(state: Coupon | None, user: str, instant: str = NOW) -> CouponRedeemed:
    """A use."""
    return redeem_coupon(state, user, ACCOUNT, instant, BY, stamp())


def refusal(state: Coupon | None, user: str = "u", instant: str = NOW) -> str:
    """The code of a refusal."""
    with pytest.raises(RedemptionError) as caught:
        redeemed(state, user, instant)
    return caught.value.code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("summer-27", "SUMMER-27"),
        ("  A_b9 \n", "A_B9"),
        ("abc", "ABC"),
        ("x" * 50, "X" * 50),
        *((text, None) for text in ("ab", "x" * 51, "", "a b", "A;B", "a\0b", "ABC\n1")),
        # Look-alikes: dotless i, long s, sharp s, Cyrillic A, full width, a no-break space.
        *((text, None) for text in ("sınce", "ſale", "straße", "SАLE", "ＳＡＬＥ", "SALE\u00a0")),
    ],
)
def test_a_code_has_one_writing(text: str, code: str | None) -> None:
    """Case and space around it do not matter; what only looks like it is none (rule: access)."""
    assert code_of(text) == code


@pytest.mark.parametrize(
    "more",
    [
        *({"value_nano_usd": each} for each in (0, -1, VALUE_NANO_USD_MAX + 1, 10**30)),
        *({"max_uses": each} for each in (0, -1, USES_MAX + 1)),
        {"code": "a"},
        {"code": "СОDE"},
        {"valid_until": BEGINS},
        {"valid_from": "2026-01-01", "valid_until": NOW},
        {"scope": CouponScope.USER_SPECIFIC, "max_uses": 1},
        {"scope": CouponScope.USER_SPECIFIC, "assigned_to_user_id": "u", "max_uses": 2},
        {"assigned_to_user_id": "u"},
        {"description": "x" * 501},
        {"description": "a\nb"},
    ],
)
def test_what_can_be_no_coupon_is_refused(more: dict[str, Any]) -> None:
    """Each named (rule: refuse clearly, rule: bounded)."""
    with pytest.raises(InvalidCouponError):
        create_coupon(ID, wanted(**more), NOW, BY, stamp())


@pytest.mark.parametrize(
    ("more", "user", "instant", "code"),
    [
        ({"active": False}, "u", NOW, "COUPON_INACTIVE"),
        ({}, "u", "2026-12-31T23:59:59.999999Z", "COUPON_NOT_YET_ACTIVE"),
        ({}, "u", ENDS, "COUPON_EXPIRED"),
        ({}, "u", "2027-01-03T00:00:00.000001Z", "COUPON_EXPIRED"),
        ({"assigned_to_user_id": "v"}, "u", NOW, "COUPON_NOT_ASSIGNED"),
        ({"times_used": 2}, "u", NOW, "MAX_USES_EXCEEDED"),
        ({"redeemed_by": frozenset({"u"})}, "u", NOW, "ALREADY_REDEEMED"),
    ],
)
def test_each_rule_refuses_by_its_code(
    more: dict[str, Any], user: str, instant: str, code: str
) -> None:
    """One line of the table each, and none is left out (rule: refuse clearly, P1)."""
    assert refusal(replace(coupon(), **more), user, instant) == code


def test_every_rule_has_its_example() -> None:
    """The table above is whole; without a coupon there is nothing to look at (rule: tidy)."""
    (mark,) = test_each_rule_refuses_by_its_code.pytestmark
    assert {case[3] for case in mark.args[1]} == {code for code, *_ in RULES}
    assert refusal(None) == "COUPON_NOT_FOUND"


def test_a_coupon_counts_up_to_its_instant() -> None:
    """From its first microsecond to the last before its end (money rule 9)."""
    state = coupon()
    for instant in (BEGINS, NOW, "2027-01-02T23:59:59.999999Z"):
        assert redeemed(state, "u", instant).value_nano_usd == 5


def test_a_use_names_the_lot_of_its_grant() -> None:
    """The same for the same account and coupon, another one for every other (P3)."""
    found = redeemed(coupon(), "u")
    assert found.lot_id == str(lot_of(ID, ACCOUNT))
    assert len({lot_of(ID, ACCOUNT), lot_of(ID, OTHER), lot_of(OTHER, ACCOUNT)}) == 3
    assert (found.originator_id, found.originator_version, found.by_user_id) == (ID, 2, "admin")


def test_uses_are_counted_and_end() -> None:
    """Two users of two, and no third (P1)."""
    state: Any = coupon()
    for user in ("u", "v"):
        state = evolve_coupon(state, redeemed(state, user))
    assert (state.times_used, state.remaining, state.version) == (2, 0, 3)
    assert refusal(state, "w") == "MAX_USES_EXCEEDED"
    assert refusal(state, "u") == "ALREADY_REDEEMED"


def change(state: Coupon, **members: Any) -> list[CouponChanged | CouponDeactivated]:
    """What a change comes to."""
    return change_coupon(state, Changes(**members), NOW, BY, (stamp(), stamp()))


def test_what_is_given_is_changed() -> None:
    """With what it was before; the same again is no event (P5)."""
    state = coupon()
    later = "2028-01-01T00:00:00.000000Z"
    (event,) = change(state, valid_until=later, max_uses=9, description=" new ")
    assert isinstance(event, CouponChanged)
    assert event.before == {"valid_until": ENDS, "max_uses": 2, "description": ""}
    assert event.after == {"valid_until": later, "max_uses": 9, "description": "new"}
    after = evolve_coupon(state, event)
    assert after is not None
    assert (after.valid_until, after.max_uses, after.description) == (later, 9, "new")
    assert change(after, max_uses=9, is_active=True) == []


def test_it_is_ended_and_begun_again() -> None:
    """Beside another change too, each event at its own version (P5)."""
    state: Any = coupon()
    events = change(state, max_uses=3, is_active=False)
    assert [each.originator_version for each in events] == [2, 3]
    for each in events:
        state = evolve_coupon(state, each)
    assert (state.active, state.max_uses, state.version) == (False, 3, 3)
    assert change(state, is_active=False) == []
    (again,) = change(state, is_active=True)
    state = evolve_coupon(state, again)
    assert state.active
    assert redeemed(state, "u").originator_version == 5


@pytest.mark.parametrize(
    "members",
    [
        {"valid_until": BEGINS},
        {"valid_until": NOW},
        {"max_uses": 0},
        {"max_uses": USES_MAX + 1},
        {"description": "x" * 501},
    ],
)
def test_a_change_that_cannot_be_is_refused(members: dict[str, Any]) -> None:
    """As at its making (rule: refuse clearly)."""
    with pytest.raises(InvalidCouponError):
        change(coupon(), **members)


def test_uses_cannot_be_taken_back() -> None:
    """Fewer than were used is refused; as many ends it; one user's stays one (P1)."""
    state = replace(coupon(), times_used=2)
    with pytest.raises(InvalidCouponError):
        change(state, max_uses=1)
    assert change(state, max_uses=2) == []
    own = coupon(scope=CouponScope.USER_SPECIFIC, max_uses=1, assigned_to_user_id="u")
    with pytest.raises(InvalidCouponError):
        change(own, max_uses=2)


def test_all_coupons_are_folded_from_the_log() -> None:
    """By coupon and by use; other events, and those of nobody's coupon, change nothing (P8)."""
    book, created = AllCoupons(), create_coupon(ID, wanted(), NOW, BY, stamp())
    state = evolve_coupon(None, created)
    use = redeemed(state, "u")
    gone = UserDeleted(originator_id=OTHER, originator_version=1, **stamp())
    stray = CouponDeactivated(originator_id=OTHER, originator_version=2, **stamp())
    for event in (created, use, gone, stray):
        book.apply(event)
    assert evolve_coupon(state, gone) is state
    assert book.coupons == {str(ID): evolve_coupon(state, use)}
    assert book.uses == {(str(ID), "u"): (str(ACCOUNT), str(lot_of(ID, ACCOUNT)), 5)}
