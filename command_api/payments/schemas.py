"""Bodies and replies of the routes. Members that nobody knows are passed over in the bodies:
existing clients send some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import msgspec

from command_api.money.metadata import check_metadata, texts_of
from domain.payments.fiat import USD
from edge.errors import bad_request
from edge.replies import usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.payments.payment import Payment
    from event_store.beside.payments import PaymentRow

TEXT_MAX = 500
URL_CHARACTERS_MAX = 2_000
EMAIL_CHARACTERS_MAX = 254
METHOD_TYPES_MAX = 10

Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]
Url = Annotated[str, msgspec.Meta(max_length=URL_CHARACTERS_MAX)]
Currency = Annotated[str, msgspec.Meta(min_length=3, max_length=3)]


class Asked(msgspec.Struct, frozen=True):
    """What both ways to pay have in common: an amount in minor units, or a package."""

    amount: int | None = None
    currency: Currency = USD
    package_id: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    customer_email: Annotated[str, msgspec.Meta(max_length=EMAIL_CHARACTERS_MAX)] | None = None
    description: Text | None = None
    metadata: dict[str, Any] | None = None

    def check(self) -> None:
        """Raise ApiError 400 for what no structure can say."""
        if self.amount is None and not self.package_id:
            message = "amount (in minor units, such as cents) or package_id is missing."
            raise bad_request("invalid_value", message, "amount")
        _check_text("customer_email", self.customer_email)
        _check_text("description", self.description)
        if self.customer_email and "@" not in self.customer_email[1:-1]:
            raise bad_request("invalid_value", "customer_email is no address.", "customer_email")
        check_metadata(self.metadata)

    @property
    def said(self) -> dict[str, str]:
        """The metadata as texts."""
        return texts_of(self.metadata)


class CheckoutAsked(Asked, frozen=True):
    """POST /api/stripe/checkout-session."""

    success_url: Url | None = None
    cancel_url: Url | None = None

    def check(self) -> None:
        """Raise ApiError 400 for what no structure can say."""
        super().check()
        for name in ("success_url", "cancel_url"):
            given = getattr(self, name)
            if given is not None and not _is_url(given):
                message = f"{name} must be an address of a page: https://…"
                raise bad_request("invalid_value", message, name)


class IntentAsked(Asked, frozen=True):
    """POST /api/stripe/payment-intent. Without kinds, those that are switched on at Stripe."""

    payment_method_types: Annotated[list[str], msgspec.Meta(max_length=METHOD_TYPES_MAX)] | None = (
        None
    )
    automatic_payment_methods: bool | None = None

    def check(self) -> None:
        """Raise ApiError 400 for what no structure can say."""
        super().check()
        kinds = self.payment_method_types or []
        if not all(each.replace("_", "").isalnum() and each.isascii() for each in kinds):
            message = "payment_method_types are names such as card."
            raise bad_request("invalid_value", message, "payment_method_types")

    @property
    def kinds(self) -> tuple[str, ...]:
        """Which kinds of payment are asked for; none for all that there are."""
        return () if self.automatic_payment_methods else tuple(self.payment_method_types or ())


def _check_text(name: str, given: str | None) -> None:
    if given is not None and not given.isprintable():
        message = f"{name} must be one line of printable characters."
        raise bad_request("invalid_value", message, name)


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    plain = text.isascii() and text.isprintable() and " " not in text
    return plain and parts.scheme in {"http", "https"} and bool(parts.hostname)


decode_checkout = msgspec.json.Decoder(CheckoutAsked).decode
decode_intent = msgspec.json.Decoder(IntentAsked).decode


def shown_order(payment: Payment) -> dict[str, Any]:
    """What a reply says of what was ordered."""
    return {
        "payment_id": str(payment.id),
        "amount": payment.order.price.minor,
        "currency": payment.order.price.currency,
        "credits": usd(payment.order.credits_nano_usd),
    }


def shown_row(row: PaymentRow, said: Mapping[str, Any]) -> dict[str, Any]:
    """A payment as its owner sees it; `said` is what he said of it."""
    return {
        "id": str(row.payment_id),
        "amount": row.amount_minor,
        "currency": row.currency,
        "credits": usd(row.credits_nano_usd),
        "credits_nano_usd": row.credits_nano_usd,
        "package_id": row.package or None,
        "status": row.shown_status,
        "refunded": row.refunded_minor,
        "dispute": row.dispute or None,
        "payment_method": "stripe",
        "stripe_payment_intent_id": row.intent_id or None,
        "created_at": row.created_at.isoformat(),
        "completed_at": row.completed_at and row.completed_at.isoformat(),
        "metadata": said.get("metadata", {}),
    }
