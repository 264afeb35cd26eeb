"""Claiming: every reason for which a code is refused, in the order in which they are looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.errors import DomainError
from domain.events.offers.referrals import ReferralClaimed

if TYPE_CHECKING:
    from collections.abc import Callable

    from domain.events.base import Stamp
    from domain.referrals.referral import ReferralCode
    from domain.referrals.terms import ReferralTerms


class ReferralRefusedError(DomainError):
    """The code is not taken; `code` says why."""

    code = "REFERRAL_NOT_FOUND"

    def __init__(self, code: str, message: str) -> None:
        """One of the codes below."""
        super().__init__(message)
        self.code = code


class Claimant(NamedTuple):
    """Who shows a code. `origins` are keyed hashes of the addresses they are known from."""

    user_id: str
    person: str
    """What the addresses of one mailbox have in common."""
    origin: str
    origins: frozenset[str]
    referred: bool
    has_purchased: bool


class Referrer(NamedTuple):
    """Whose the code is; `came_by` are those by whom they came themselves, up to the first."""

    person: str
    origins: frozenset[str]
    came_by: frozenset[str]
    gone: bool = False


NOT_FOUND = "no user has this code"
Rule = tuple[str, "Callable[[ReferralCode, Referrer, Claimant], bool]", str]
RULES: tuple[Rule, ...] = (
    (
        "REFERRAL_NOT_FOUND",
        lambda _, referrer, __: referrer.gone,
        NOT_FOUND,
    ),
    (
        "OWN_REFERRAL_CODE",
        lambda state, _, claimant: state.user_id == claimant.user_id,
        "this code is your own: it is for others",
    ),
    (
        "ALREADY_REFERRED",
        lambda _, __, claimant: claimant.referred,
        "you came by a code already, and one counts",
    ),
    (
        "ALREADY_PURCHASED",
        lambda _, __, claimant: claimant.has_purchased,
        "a code is shown before the first purchase",
    ),
    (
        "REFERRAL_LOOP",
        lambda _, referrer, claimant: claimant.user_id in referrer.came_by,
        "whose code this is came by yours, or by that of somebody who did",
    ),
    (
        "SAME_PERSON",
        lambda _, referrer, claimant: claimant.person == referrer.person,
        "this code is of the same mailbox as your address",
    ),
    (
        "SAME_ORIGIN",
        lambda state, referrer, claimant: bool(
            (claimant.origins | {claimant.origin} - {""}) & _origins(state, referrer)
        ),
        "this code, or another use of it, is of the same network address as yours",
    ),
)
"""The code, whether it applies, and what is said."""


def claim(
    state: ReferralCode | None,
    referrer: Referrer,
    claimant: Claimant,
    terms: ReferralTerms,
    stamp: Stamp,
) -> ReferralClaimed:
    """One use of a code. Raises ReferralRefusedError."""
    if state is None:
        raise ReferralRefusedError("REFERRAL_NOT_FOUND", NOT_FOUND)
    for code, applies, message in RULES:
        if applies(state, referrer, claimant):
            raise ReferralRefusedError(code, message)
    if len(state.referrals) >= terms.uses_max:
        message = f"this code was used {terms.uses_max} times, and may not be used more"
        raise ReferralRefusedError("REFERRAL_USED_UP", message)
    return ReferralClaimed(
        **state.next(stamp), referee_user_id=claimant.user_id, origin=claimant.origin
    )


def _origins(state: ReferralCode, referrer: Referrer) -> frozenset[str]:
    """Where the code's owner, and those who came by it, are known from."""
    came = {each.origin for each in state.referrals.values()}
    return frozenset({state.origin} | referrer.origins | came) - {""}
