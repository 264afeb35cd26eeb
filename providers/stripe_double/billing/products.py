"""What can be subscribed to at the double: two products, each with a price by the month."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from providers.stripe_double.shelf import Shelf

    Thing = dict[str, Any]

SOLD = {"pro": 1_500, "max": 12_000}
"""Cents by the month."""
OFFERS = ",".join(f"{name}=prod_{name}/price_{name}" for name in SOLD)
"""The same as `GATEWAYZ_SUBSCRIPTION_OFFERS` writes it."""


def put_products(shelf: Shelf, now: int) -> None:
    """Products and prices; those that are there stay."""
    for name, cents in SOLD.items():
        if shelf.get("product", f"prod_{name}") is None:
            shelf.put(_product(name, now))
            shelf.put(_price(name, cents, now))


def _product(name: str, now: int) -> Thing:
    return {
        "id": f"prod_{name}",
        "object": "product",
        "active": True,
        "created": now,
        "images": [],
        "livemode": False,
        "marketing_features": [],
        "metadata": {},
        "name": f"Gatewayz {name}",
        "updated": now,
    }


def _price(name: str, cents: int, now: int) -> Thing:
    return {
        "id": f"price_{name}",
        "object": "price",
        "active": True,
        "billing_scheme": "per_unit",
        "created": now,
        "currency": "usd",
        "livemode": False,
        "metadata": {},
        "product": f"prod_{name}",
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
        "type": "recurring",
        "unit_amount": cents,
    }
