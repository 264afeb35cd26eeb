"""A user's code and who came by it, in the shape that clients know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from edge.replies import usd
from event_store.beside.referrals.reading import (
    code_of_user,
    referral_of,
    referrals_by,
)
from event_store.beside.users import account_of, read_available
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from domain.referrals.terms import ReferralTerms
    from event_store.beside.referrals.reading import StoredReferral
    from event_store.postgres.database import Connects

LISTED_MAX = 1_000
COMPLETED, PENDING = "completed", "pending"


class Found(NamedTuple):
    """What is stored of a user's referrals; `available` in nano-USD."""

    code: str | None
    came_by: str | None
    referrals: list[StoredReferral]
    available: int


def own_referrals(database: Connects, user_id: UUID) -> Found:
    """A user's code, the code they came by, and who came by theirs; with their own account's."""
    with database.connect() as connection:
        account = account_of(connection, user_id)
        own = code_of_user(connection, user_id)
        by = referral_of(connection, user_id)
        of_referrer = None if by is None else code_of_user(connection, by.referrer)
        return Found(
            own.code if own else None,
            of_referrer.code if of_referrer else None,
            referrals_by(connection, user_id, LISTED_MAX),
            0 if account is None else read_available(connection, account),
        )


def told(
    found: Found,
    link: str | None,
    terms: ReferralTerms,
    names: Mapping[UUID, tuple[str | None, str]],
) -> dict[str, Any]:
    """All of it; `names` are those of the referees."""
    states = [each.state for each in found.referrals]
    earned = sum(each.bonus for each in found.referrals if each.state == COMPLETED)
    uses = len(found.referrals)
    return {
        "referral_code": found.code,
        "invite_link": link,
        "total_uses": uses,
        "completed_bonuses": states.count(COMPLETED),
        "pending_bonuses": states.count(PENDING),
        "remaining_uses": max(terms.uses_max - uses, 0),
        "max_uses": terms.uses_max,
        "total_earned": usd(earned),
        "total_earned_nano_usd": earned,
        "current_balance": usd(found.available),
        "referred_by_code": found.came_by,
        "referrals": [_one(each, names, terms) for each in found.referrals],
    }


def _one(
    each: StoredReferral, names: Mapping[UUID, tuple[str | None, str]], terms: ReferralTerms
) -> dict[str, Any]:
    username, address = names.get(each.referee, (None, ""))
    done = each.state == COMPLETED
    return {
        "user_id": str(each.referee),
        "username": username,
        "email": address or None,
        "date": to_iso(each.claimed_at),
        "signed_up_at": to_iso(each.claimed_at),
        "status": each.state,
        "bonus_earned": usd(each.bonus if done else 0),
        "bonus_date": to_iso(each.ended_at) if done and each.ended_at else None,
        "reward": usd(each.bonus or terms.bonus),
    }
