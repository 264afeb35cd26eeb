"""Referrals for tests: lives as events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from command_api.identity.users import NewUser
from domain.referrals.claiming import Claimant, Referrer, claim
from domain.referrals.referral import ReferralCode, evolve, make_code
from domain.referrals.rewarding import Purchase, Refund, Sides, reward, take_back
from domain.referrals.terms import ALPHABET, ReferralTerms
from event_store.ids import new_envelope, new_uuid7, now_iso
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from command_api.identity.users import NewUser
    from domain.events.base import Event, Stamp
    from event_store.postgres.database import Database

TERMS = ReferralTerms()
REFERRER = Referrer("one@example.com", frozenset(), frozenset())


def random_code() -> str:
    """Any code."""
    number = new_uuid7().int
    return "".join(ALPHABET[number // 36**place % 36] for place in range(8))


def claimant(user: object) -> Claimant:
    """Somebody against whom nothing is to be said."""
    return Claimant(str(user), f"{user}@example.org", "", frozenset(), False, False)


def tell_referrals(database: Database, users: Sequence[NewUser]) -> None:
    """One that is rewarded and taken back, one that is refused, one that waits."""
    now, owner = now_iso(), users[0]
    told: list[Event] = []
    state: ReferralCode | None = None

    def tell(*events: Event) -> ReferralCode:
        nonlocal state
        for each in events:
            told.append(each)
            state = evolve(state, each)
        assert state is not None
        return state

    code = tell(make_code(UUID(owner.user_id), random_code(), "origin-1", _stamp()))
    for each in users[1:4]:
        code = tell(claim(code, REFERRER, claimant(each.user_id), TERMS, _stamp()))
    for each, sides in zip(
        users[1:3],
        (Sides(owner.account_id, "a", "b"), Sides(owner.account_id, "", "b")),
        strict=False,  # A small history has fewer users.
    ):
        payment = str(new_uuid7())
        bought = Purchase(payment, each.account_id, TERMS.purchase_min, now)
        ended = reward(code, each.user_id, bought, sides, TERMS, _stamp())
        assert ended is not None
        code = tell(ended)
        refund = Refund(payment, str(new_uuid7()), 1, now)
        stamps = _stamp(), _stamp()
        code = tell(*take_back(code, each.user_id, refund, bought.credits_nano_usd, TERMS, stamps))
    aggregates = Aggregates(database)
    try:
        aggregates.append(told)
    finally:
        aggregates.close()


def _stamp() -> Stamp:
    return new_envelope("system:referrals")
