"""Whether a hold has room on the credits of its account and on every quota that binds it.

All or nothing (money rule 13). The quotas of a lot bind only what the lot pays for: where one has
no room, the lot is passed over, and it is the quota that lacks only where the lot would have paid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from domain.ledger.lots import Lot, burn_down
from domain.quotas.windows import Window, begin_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from domain.events.ledger import QuotaPart
    from domain.ledger.accounts import Account
    from domain.ledger.state import Hold
    from domain.quotas.book import Quota, QuotaBook
    from domain.quotas.terms import Claim
    from domain.quotas.windows import Offsets

    Zones = Callable[[str], Offsets]

INSUFFICIENT_CREDITS = "insufficient_credits"
QUOTA_EXCEEDED = "quota_exceeded"


class Room(NamedTuple):
    """What a hold is placed on, or why it is not.

    `lacking` is the quota that lacked, `spare` what could be spent on such a call, in nano-USD.
    """

    answer: str | None
    lacking: str = ""
    spare: int = 0
    lots: list[tuple[Lot, int]] = []  # noqa: RUF012 - never changed
    quotas: list[QuotaPart] = []  # noqa: RUF012 - never changed


def room_for_hold(
    book: QuotaBook, account: Account, scopes: set[str], claim: Claim, now: str, zones: Zones
) -> Room:
    """Room for a new call; lots that expired must be booked before."""
    for quota in book.of(account.account_id, {account.account_id, *scopes}):
        if quota.lacks(_begins(quota, now, zones), claim.of(quota.unit)):
            return Room(QUOTA_EXCEEDED, quota.quota_id)
    bars = {
        lot.lot_id: lacking
        for lot in account.lots.values()
        if (lacking := book.lot_lacks(lot.lot_id, claim))
    }
    found = _lots(account, claim.nano_usd, now, bars)
    if found.answer:
        return found
    taken = {lot.lot_id for lot, _ in found.lots}
    binding = book.of(account.account_id, {account.account_id, *scopes, *taken})
    parts: list[QuotaPart] = [
        {
            "quota_id": quota.quota_id,
            "begins": _begins(quota, now, zones),
            "held": claim.of(quota.unit),
        }
        for quota in binding
    ]
    return found._replace(quotas=parts)


def room_for_more(book: QuotaBook, account: Account, hold: Hold, claim: Claim, now: str) -> Room:
    """Room for an extension: in the windows of the hold, and on no lot that it has no quota of."""
    bound = [(book.quotas[part["quota_id"]], part) for part in hold.quotas]
    for quota, part in bound:
        if not quota.of_lot and quota.lacks(part["begins"], claim.of(quota.unit)):
            return Room(QUOTA_EXCEEDED, quota.quota_id)
    barred = barred_beyond(book, account, hold)
    bars: dict[str, Quota | None] = dict.fromkeys(barred)
    for lot in account.lots:
        if lot not in barred and (lacking := book.lot_lacks(lot, claim)):
            bars[lot] = lacking
    found = _lots(account, claim.nano_usd, now, bars)
    taken = {lot.lot_id for lot, _ in found.lots}
    parts: list[QuotaPart] = [
        {**part, "held": claim.of(quota.unit)}
        for quota, part in bound
        if claim.of(quota.unit) and (not quota.of_lot or quota.scope_id in taken)
    ]
    return found._replace(quotas=parts)


def barred_beyond(book: QuotaBook, account: Account, hold: Hold) -> set[str]:
    """The lots with quotas on which a hold has no reservation: nothing more of it is theirs."""
    own = {book.quotas[part["quota_id"]].scope_id for part in hold.quotas}
    return {lot for lot in account.lots if lot not in own and book.has_lot(lot)}


def _begins(quota: Quota, now: str, zones: Zones) -> str:
    return begin_of(Window(quota.window), now, zones(quota.zone))


def _lots(account: Account, need: int, now: str, bars: Mapping[str, Quota | None]) -> Room:
    """Burn down past the barred lots; a bar without a quota is no quota's fault."""
    passed = [lot for lot in account.lots.values() if lot.lot_id in bars and lot.available]
    spare = account.available - sum(lot.available for lot in passed)
    taken = burn_down(account.lots.values(), need, now, bars)
    if taken is not None:
        return Room(None, "", spare, taken)
    at_fault = [
        (lot, quota)
        for lot in sorted(passed, key=Lot.burn_order)
        if (quota := bars[lot.lot_id]) is not None
    ]
    if spare + sum(lot.available for lot, _ in at_fault) < need:
        return Room(INSUFFICIENT_CREDITS, "", spare)
    return Room(QUOTA_EXCEEDED, at_fault[0][1].quota_id, spare)
