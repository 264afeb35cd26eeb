"""What the read models of the catalog answer, checked against the events themselves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from domain.events.catalog import ModelDelisted, ModelListed, PricePublished
from projections.catalog.catalog_offers import read_catalog
from projections.catalog.provider_health import read_provider_health

if TYPE_CHECKING:
    from tests.support.projected import Projected

PARTS = 1_000_000


def test_attempts_tell_the_health_of_providers(projected: Projected) -> None:
    """Every attempt of a call that ended is counted; the last error is named (P7)."""
    health = read_provider_health(projected.select, since=datetime.now(UTC) - timedelta(days=1))
    assert sum(each["attempts"] for each in health) == len(projected.ends)
    failed = len(projected.ends) - len(projected.charged)
    lost = sum(e["attempts"] - e["attempts"] * e["success_ppm"] // PARTS for e in health)
    assert failed <= lost <= failed + len(health)
    assert any(each["last_error"] == "upstream said no" for each in health)
    assert read_provider_health(projected.select, since=datetime.now(UTC) + timedelta(days=1)) == []


def test_a_catalog_has_what_is_still_listed(projected: Projected) -> None:
    """A model that left its provider's list is offered no more; others keep their price (P10)."""
    listed = {each.model for each in projected.events if isinstance(each, ModelListed)}
    left = {each.model for each in projected.events if isinstance(each, ModelDelisted)}
    prices = {
        each.model: each.price for each in projected.events if isinstance(each, PricePublished)
    }
    confirmed_at, offers = read_catalog(projected.select, "simulator")
    assert confirmed_at is not None
    assert left
    assert {each["model"]: each["price"] for each in offers} == {
        model: prices[model] for model in listed - left
    }
    assert read_catalog(projected.select, "nobody") == (None, [])
