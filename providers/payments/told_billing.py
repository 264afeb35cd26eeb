"""Stripe's subscriptions and invoices, read: what they say, of whatever version they are.

They are signed, or were asked for; they may still be of another product on the same account.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from domain.payments.fiat import Fiat
from domain.subscriptions.allowance import AbsurdInvoiceError, Line, Period
from domain.subscriptions.subscription import Invoice, Seen, Status
from domain.subscriptions.tiers import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from domain.subscriptions.tiers import Offers

    Thing = Mapping[str, Any]

SUBSCRIPTION, INVOICE, SETUP = "subscription", "invoice", "setup_intent"
PAID, UNPAID, SAVED = "invoice.paid", "invoice.payment_failed", "setup_intent.succeeded"
WATCHED = (
    "customer.subscription.created",
    "customer.subscription.updated",
    "customer.subscription.deleted",
    PAID,
    UNPAID,
    SAVED,
)
"""Types of events that concern a subscription; an endpoint at Stripe is to be sent these too."""
ID_CHARACTERS_MAX = 255
LINES_MAX = 100
AMOUNT_MAX = 10**12
"""Minor units that an invoice may be of; what is beyond is none of Stripe's."""


class Named(NamedTuple):
    """Whose an object is, by the provider's ids; empty for none."""

    customer_id: str
    subscription_id: str


def named(thing: Thing) -> Named:
    """The customer and the subscription that a subscription, an invoice or a setup is of."""
    customer = _id(thing.get("customer"))
    if thing.get("object") == SUBSCRIPTION:
        return Named(customer, _id(thing.get("id")))
    parent = _object(_object(thing.get("parent")).get("subscription_details"))
    return Named(customer, _id(parent.get("subscription") or thing.get("subscription")))


def method_of(thing: Thing) -> str:
    """The saved way to be charged that a subscription or a setup names; empty for none."""
    return _id(thing.get("payment_method") or thing.get("default_payment_method"))


def seen_of(thing: Thing, as_of: int, offers: Offers) -> Seen | None:
    """How a subscription stands; None for what is none. A product of nobody's is the basic tier."""
    items = [_object(each) for each in _list(_object(thing.get("items")).get("data"))]
    if not items or thing.get("status") not in set(Status):
        return None
    found = [(offers.tier_of(_product(each)), each) for each in items]
    tier, item = next((pair for pair in found if pair[0] is not None), found[0])
    price = _object(item.get("price"))
    begins = _seconds(item.get("current_period_start") or thing.get("current_period_start"))
    ends = _seconds(item.get("current_period_end") or thing.get("current_period_end"))
    return Seen(
        Status(str(thing["status"])),
        tier or Tier.BASIC,
        _product(item),
        _id(price.get("id")),
        Period(begins, ends),
        cancels_at_end=thing.get("cancel_at_period_end") is True,
        as_of=as_of,
    )


def invoice_of(thing: Thing, as_of: int, offers: Offers) -> Invoice | None:
    """An invoice with its lines for tiers; None without any.

    Raises AbsurdInvoiceError for one that nobody can work with.
    """
    lines = _object(thing.get("lines"))
    rows = _list(lines.get("data"))
    if lines.get("has_more") or len(rows) > LINES_MAX:
        message = f"it has more lines than the {len(rows)} that are told"
        raise AbsurdInvoiceError(message)
    found = tuple(line for each in rows for line in _line(_object(each), offers))
    name, paid = _id(thing.get("id")), thing.get("amount_paid")
    currency = thing.get("currency")
    if not (name and found):
        return None
    if not (_is_amount(paid) and isinstance(currency, str) and len(currency) == len("usd")):
        message = f"{paid!r} {currency!r} is no amount".replace("\n", " ")[:100]
        raise AbsurdInvoiceError(message)
    assert isinstance(paid, int)
    return Invoice(name, Fiat(paid, currency.lower()), _tax(thing), found, as_of)


def _line(row: Thing, offers: Offers) -> Iterator[Line]:
    price = _object(_object(row.get("pricing")).get("price_details"))
    tier = offers.tier_of(_id(price.get("product"))) or offers.tier_of(_product(row))
    if tier is None:
        return
    amount, quantity = row.get("amount"), row.get("quantity")
    if not isinstance(amount, int) or isinstance(amount, bool):
        message = "a line has no amount"
        raise AbsurdInvoiceError(message)
    parent = _object(row.get("parent"))
    details = _object(parent.get("subscription_item_details")) or _object(
        parent.get("invoice_item_details")
    )
    period = _object(row.get("period"))
    yield Line(
        tier,
        Period(_seconds(period.get("start")), _seconds(period.get("end"))),
        prorated=details.get("proration") is True or row.get("proration") is True,
        sign=(amount > 0) - (amount < 0),
        quantity=quantity if isinstance(quantity, int) else 1,
    )


def _tax(thing: Thing) -> int:
    """What of an invoice is taxes; 0 where it does not say."""
    taxes = [_object(each).get("amount") for each in _list(thing.get("total_taxes"))]
    given = taxes or [thing.get("tax")]
    return sum(each for each in given if isinstance(each, int) and _is_amount(each))


def _product(thing: Thing) -> str:
    """The product of what has a price."""
    return _id(_object(thing.get("price")).get("product"))


def _is_amount(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= AMOUNT_MAX


def _id(value: Any) -> str:
    """An id, also of what is expanded."""
    value = value.get("id") if isinstance(value, dict) else value
    fits = isinstance(value, str) and len(value) <= ID_CHARACTERS_MAX and value.isprintable()
    return value if fits else ""


def _object(value: Any) -> Thing:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


SECONDS_MAX = 4_102_444_800
"""The year 2100."""


def _seconds(value: Any) -> int:
    fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SECONDS_MAX
    return value if fits else 0
