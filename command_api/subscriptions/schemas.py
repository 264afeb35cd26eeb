"""Bodies of the routes. Members that nobody knows are passed over: existing clients send some."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec

from command_api.money.metadata import check_metadata, texts_of
from edge.errors import bad_request

SUBSCRIPTION, PAYMENT, SETUP = "subscription", "payment", "setup"

Name = Annotated[str, msgspec.Meta(max_length=255)]
Url = Annotated[str, msgspec.Meta(max_length=2_000)]
Address = Annotated[str, msgspec.Meta(max_length=254)]


class SubscriptionAsked(msgspec.Struct, frozen=True):
    """POST /api/stripe/subscription-checkout."""

    price_id: Name = ""
    product_id: Name | None = None
    customer_email: Address | None = None
    success_url: Url | None = None
    cancel_url: Url | None = None
    mode: Name = SUBSCRIPTION
    metadata: dict[str, Any] | None = None

    def check(self) -> None:
        """Raise ApiError 400 for what no structure can say."""
        if self.mode == PAYMENT:
            message = "Credits are bought once by POST /api/stripe/checkout-session."
            raise bad_request("invalid_value", message, "mode")
        if self.mode not in {SUBSCRIPTION, SETUP}:
            message = "mode is subscription, or setup to save a card."
            raise bad_request("invalid_value", message, "mode")
        if (self.mode == SUBSCRIPTION) != bool(self.price_id):
            message = "price_id is what is subscribed to; mode=setup has none."
            raise bad_request("invalid_value", message, "price_id")
        email = self.customer_email
        if email and not (email.isprintable() and "@" in email[1:-1]):
            raise bad_request("invalid_value", "customer_email is no address.", "customer_email")
        for name in ("success_url", "cancel_url"):
            check_url(name, getattr(self, name))
        check_metadata(self.metadata)

    @property
    def said(self) -> dict[str, str]:
        """The metadata as texts."""
        return texts_of(self.metadata)


class ChangeAsked(msgspec.Struct, frozen=True):
    """POST /api/stripe/subscriptions/{id}/change."""

    price_id: Name
    product_id: Name | None = None


class CancelAsked(msgspec.Struct, frozen=True):
    """POST /api/stripe/subscriptions/{id}/cancel."""

    at_period_end: bool = True


class PortalAsked(msgspec.Struct, frozen=True):
    """POST /api/stripe/customer-portal."""

    return_url: Url | None = None


def check_url(name: str, given: str | None) -> None:
    """Raise ApiError 400 unless it is the address of a page, or nothing."""
    try:
        parts = urlsplit(given or "https://x")
    except ValueError:
        parts = urlsplit("")
    text = given or ""
    plain = text.isascii() and text.isprintable() and " " not in text
    if not (plain and parts.scheme in {"http", "https"} and parts.hostname):
        message = f"{name} must be an address of a page: https://…"
        raise bad_request("invalid_value", message, name)


decode_subscription = msgspec.json.Decoder(SubscriptionAsked).decode
decode_change = msgspec.json.Decoder(ChangeAsked).decode
_cancel = msgspec.json.Decoder(CancelAsked).decode
_portal = msgspec.json.Decoder(PortalAsked).decode


def decode_cancel(raw: bytes) -> CancelAsked:
    """All of it may be left out, and so may the body."""
    return _cancel(raw or b"{}")


def decode_portal(raw: bytes) -> PortalAsked:
    """All of it may be left out, and so may the body."""
    return _portal(raw or b"{}")
