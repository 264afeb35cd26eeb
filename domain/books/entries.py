"""The entries of each event in the books: its postings by lot kind, and what providers cost.

An event's postings (`domain.ledger.postings`) say what moved between a customer and the house. Here
each of them is divided by the kinds of the lots that the event names. What is not named by lots
stays whole on an account of the kind `unassigned`; so a new event needs its postings and nothing
here, until finance wants it by lot kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.books.cash import CASH, cash_parts
from domain.books.chart import OWED, PAID, UNASSIGNED, UNPAID
from domain.books.parts import MANUAL, STRIPE, Part
from domain.events.ledger import (
    CallEvent,
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HouseLossBooked,
    LotExpired,
    MoneyEvent,
    ReceivablePaid,
)
from domain.ledger.adjustments import RENEWED
from domain.ledger.lots import DebitKind
from domain.ledger.postings import (
    BREAKAGE,
    HOUSE_LOSS,
    REVENUE,
    TRANSFERS,
    Posting,
    customer_available,
    customer_held,
    postings_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from domain.events.base import Event
    from domain.events.ledger import LotPart

    KindOf = Callable[[str], str]
    """The kind of a lot by its id."""

MONEY_BACK = frozenset({DebitKind.REFUND, DebitKind.DISPUTE})
"""Debits behind which money went back: given credits that pay for them are at their use."""


def entries_of(event: Event, kind_of: KindOf) -> list[Posting]:
    """The entries of an event, in nano-USD, none of them nought; empty where no money moves."""
    left: dict[str, int] = {}
    for line in postings_of(event):
        left[line.account] = left.get(line.account, 0) + line.amount_nano_usd
    found: dict[str, int] = {}
    for part in _parts(event, kind_of):
        if part.of:
            left[part.of] = left.get(part.of, 0) - part.amount_nano_usd
        found[part.account] = found.get(part.account, 0) + part.amount_nano_usd
    for account, amount in left.items():
        name = _undivided(account)
        found[name] = found.get(name, 0) + amount
    return [Posting(account, amount) for account, amount in found.items() if amount]


def lots_in(event: Event) -> set[str]:
    """The lots whose kinds the entries of an event depend on."""
    match event:
        case LotExpired():
            return {event.lot_id}
        case HoldPlaced() | HoldExtended() | CreditsDebited() | ReceivablePaid():
            parts: Sequence[LotPart] = event.lots
        case ChargeCorrected():
            parts = [*event.lots, *event.returned_lots, *event.renewed_lots]
        case HoldResolved():
            parts = [
                *event.lots,
                *event.released_lots,
                *event.forfeited_lots,
                *event.beyond_lots,
            ]
        case _:
            return set()
    return {part["lot_id"] for part in parts}


def lots_made(event: Event) -> dict[str, str]:
    """The lots that an event makes, each with its kind."""
    match event:
        case CreditsGranted():
            return {event.lot_id: event.kind}
        case ChargeCorrected() if event.renewed_nano_usd:
            return {event.lot_id: RENEWED}
        case _:
            return {}


def _parts(event: Event, kind_of: KindOf) -> Iterator[Part]:
    match event:
        case CallEvent():
            yield from _of_call(event, kind_of)
        case MoneyEvent():
            yield from _of_account(event, kind_of)
        case _:
            yield from cash_parts(event)


def _of_account(event: MoneyEvent, kind_of: KindOf) -> Iterator[Part]:
    available = customer_available(event.account_id)
    match event:
        case CreditsGranted():
            amount, kind = event.amount_nano_usd, event.kind
            paid_by = STRIPE if event.payment_id else MANUAL
            source = paid_by if kind in PAID else f"issued:{kind}"
            if not event.transfer_id:
                yield Part(f"issued:{kind}", source, -amount)
            yield Part(available, f"{available}:{kind}", amount)
        case CreditsDebited():
            gone = f"returned:{event.kind}"
            for kind, amount in _by_kind(event.lots, kind_of):
                yield Part(available, f"{available}:{kind}", -amount)
                if event.kind in MONEY_BACK:
                    yield from _given(kind, amount)
                elif kind not in PAID and event.kind != DebitKind.TRANSFER:
                    yield Part(gone, f"issued:{kind}", amount)
        case ReceivablePaid():
            for kind, amount in _by_kind(event.lots, kind_of):
                yield Part(available, f"{available}:{kind}", -amount)
                yield from _given(kind, amount)
        case LotExpired():
            kind = kind_of(event.lot_id)
            yield Part(available, f"{available}:{kind}", -event.breakage_nano_usd)
            yield Part(BREAKAGE, _broken(kind), event.breakage_nano_usd)
        case _:
            pass


def _of_call(event: CallEvent, kind_of: KindOf) -> Iterator[Part]:
    available, held = customer_available(event.account_id), customer_held(event.account_id)
    match event:
        case HoldPlaced() | HoldExtended():
            for kind, amount in _by_kind(event.lots, kind_of):
                yield Part(available, f"{available}:{kind}", -amount)
                yield Part(held, f"{held}:{kind}", amount)
        case HoldResolved():
            yield from _resolved(event, kind_of)
            yield from _providers(event.attempts)
        case HouseLossBooked():
            yield Part(REVENUE, f"{REVENUE}:{UNPAID}", event.house_loss_nano_usd)
            yield from _providers(event.attempts)
        case ChargeCorrected():
            yield from _corrected(event, kind_of)
        case _:
            pass


def _resolved(event: HoldResolved, kind_of: KindOf) -> Iterator[Part]:
    available, held = customer_available(event.account_id), customer_held(event.account_id)
    for kind, amount in _by_kind(event.lots, kind_of):
        yield Part(held, f"{held}:{kind}", -amount)
        yield from _earned(kind, amount)
    for kind, amount in _by_kind(event.beyond_lots, kind_of):
        yield Part(available, f"{available}:{kind}", -amount)
        yield from _earned(kind, amount)
    for kind, amount in _by_kind(event.released_lots, kind_of):
        yield Part(held, f"{held}:{kind}", -amount)
        yield Part(available, f"{available}:{kind}", amount)
    for kind, amount in _by_kind(event.forfeited_lots, kind_of):
        yield Part(held, f"{held}:{kind}", -amount)
        yield Part(BREAKAGE, _broken(kind), amount)
    yield Part(REVENUE, f"{REVENUE}:{UNPAID}", event.house_loss_nano_usd)


def _corrected(event: ChargeCorrected, kind_of: KindOf) -> Iterator[Part]:
    """What was charged too little is usage; what was too much is none any more.

    What comes back of a lot that has expired since would have expired with it: that is booked, and
    as much is given anew. So is what no lot had paid.
    """
    available = customer_available(event.account_id)
    for kind, amount in _by_kind(event.lots, kind_of):
        yield Part(available, f"{available}:{kind}", -amount)
        yield from _earned(kind, amount)
    for kind, amount in _by_kind(event.returned_lots, kind_of):
        yield Part(available, f"{available}:{kind}", amount)
        yield from _earned(kind, -amount)
    unpaid = event.renewed_nano_usd
    for kind, amount in _by_kind(event.renewed_lots, kind_of):
        unpaid -= amount
        yield from _earned(kind, -amount)
        yield Part("", _broken(kind), amount)
        yield Part("", f"issued:{RENEWED}", -amount)
    yield Part(available, f"{available}:{RENEWED}", event.renewed_nano_usd)
    yield Part(REVENUE, f"{REVENUE}:{OWED}", event.owed_nano_usd - unpaid)
    yield from _given(RENEWED, -unpaid)


def _earned(kind: str, amount: int) -> Iterator[Part]:
    """Usage by a lot."""
    yield Part(REVENUE, f"{REVENUE}:{kind}", amount)
    yield from _given(kind, amount)


def _given(kind: str, amount: int) -> Iterator[Part]:
    """What was given is an expense at its use (money rule 18)."""
    if kind not in PAID:
        yield Part("", f"promotion:{kind}", -amount)
        yield Part("", f"issued:{kind}", amount)


def _broken(kind: str) -> str:
    return f"breakage:{kind}" if kind in PAID else f"lapsed:{kind}"


def _providers(attempts: Sequence[Mapping[str, Any]]) -> Iterator[Part]:
    for attempt in attempts:
        cost, provider = attempt.get("cost_nano_usd"), attempt.get("provider")
        if isinstance(cost, int) and cost > 0 and isinstance(provider, str):
            yield Part("", f"provider_cost:{provider}", -cost)
            yield Part("", f"payable:{provider}", cost)


def _by_kind(parts: Sequence[LotPart], kind_of: KindOf) -> Iterator[tuple[str, int]]:
    for part in parts:
        yield kind_of(part["lot_id"]), part["amount_nano_usd"]


def _undivided(account: str) -> str:
    """The account of what an event moves without saying on which lots it lies."""
    of_customer = account.startswith("customer:")
    return f"{account}:{UNASSIGNED}" if of_customer or account in (REVENUE, BREAKAGE) else account


EVENTS: Mapping[type[Event], Sequence[tuple[str, str, str]]] = {
    **CASH,
    CreditsGranted: (
        ("issued:*", "customer:available:*", "given credits"),
        (MANUAL, "customer:available:purchase", "purchased credits without a payment's id"),
        (STRIPE, "customer:available:purchase", "purchased credits of a payment"),
        (TRANSFERS, "customer:available:*", "credits came from another account"),
    ),
    CreditsDebited: (
        ("customer:available:*", "returned:*", "purchased credits were taken back"),
        ("customer:available:*", "issued:*", "given credits were taken back by an admin"),
        ("promotion:*", "issued:*", "given credits paid for a refund or a dispute"),
        ("receivable", "returned:*", "what was to be taken back and was not there"),
        ("customer:available:*", TRANSFERS, "credits went to another account"),
    ),
    ReceivablePaid: (
        ("customer:available:*", "receivable", "what was owed is paid"),
        ("promotion:*", "issued:*", "given credits are an expense at their use"),
    ),
    ChargeCorrected: (
        ("customer:available:*", "revenue:usage:*", "a call was charged too little"),
        ("receivable", f"{REVENUE}:{OWED}", "and that was not there"),
        ("revenue:usage:*", "customer:available:*", "a call was charged too much"),
        ("promotion:*", "issued:*", "given credits are an expense at their use"),
        ("issued:*", "promotion:*", "and none where they come back"),
        ("issued:*", "breakage:purchase", "what came back had expired: it is given anew"),
        ("issued:*", "lapsed:*", "the same of given credits"),
    ),
    LotExpired: (
        ("customer:available:purchase", "breakage:purchase", "purchased credits ended unspent"),
        ("customer:available:*", "lapsed:*", "given credits ended unspent"),
    ),
    HoldPlaced: (("customer:available:*", "customer:held:*", "reserved for a call"),),
    HoldExtended: (("customer:available:*", "customer:held:*", "more reserved for the call"),),
    HoldResolved: (
        ("customer:held:*", "revenue:usage:*", "what the call cost, from its hold"),
        ("customer:available:*", "revenue:usage:*", "what it cost beyond the hold"),
        ("customer:held:*", "customer:available:*", "the rest of the hold"),
        ("customer:held:purchase", "breakage:purchase", "the rest, on a purchase that expired"),
        ("customer:held:*", "lapsed:*", "the rest, on given credits that expired"),
        ("promotion:*", "issued:*", "given credits are an expense at their use"),
        (HOUSE_LOSS, f"{REVENUE}:{UNPAID}", "what nobody could pay"),
        ("provider_cost:*", "payable:*", "what each attempt cost at its provider"),
    ),
    HouseLossBooked: (
        (HOUSE_LOSS, f"{REVENUE}:{UNPAID}", "an outcome that came too late"),
        ("provider_cost:*", "payable:*", "what each attempt cost at its provider"),
    ),
}
"""By event: account debited, account credited, what for; the ends of a hold are one here."""
