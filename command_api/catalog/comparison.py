"""The offers of one model side by side."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from command_api.catalog.objects import offer_object, per_token
from providers.inference.registry.offers import price_rank

if TYPE_CHECKING:
    from command_api.catalog.view import Entry
    from providers.inference.registry.offers import Model


def compare(entry: Entry, gateways: list[str]) -> dict[str, Any]:
    """The offers of one model side by side, and what the cheapest saves."""
    by_gateway = {each.provider: each for each in entry.offers}
    rows = [_compared(name, by_gateway.get(name)) for name in gateways]
    offers = [by_gateway[name] for name in gateways if name in by_gateway]
    recommendation: dict[str, Any] | None = None
    savings: dict[str, Any] = {}
    if offers:
        low, high = min(offers, key=price_rank), max(offers, key=price_rank)
        recommendation = {
            "gateway": low.provider,
            "reason": "lowest price for equal amounts of input and output",
            "pricing": per_token(low.price.terms),
        }
        least, most = _both_ways(low), _both_ways(high)
        share = (most - least) * 100 / most if most else Decimal(0)
        savings = {
            "potential_savings_per_1m_tokens": format(most - least, "f"),
            "savings_percentage": format(share.quantize(Decimal("0.01")), "f"),
            "cheapest_gateway": low.provider,
            "cheapest_cost": format(least, "f"),
            "most_expensive_gateway": high.provider,
            "most_expensive_cost": format(most, "f"),
        }
    return {
        "comparisons": rows,
        "recommendation": recommendation,
        "savings": savings,
        "available_count": len(offers),
        "total_gateways_checked": len(gateways),
    }


def _both_ways(offer: Model) -> Decimal:
    """USD for a million tokens in and a million out."""
    return offer.price.terms.input_per_million + offer.price.terms.output_per_million


def _compared(gateway: str, offer: Model | None) -> dict[str, Any]:
    if offer is None:
        return {"gateway": gateway, "available": False}
    terms = offer.price.terms
    shown = offer_object(offer)
    return {
        "gateway": gateway,
        "available": True,
        "model_id": offer.public_id,
        "name": shown["name"],
        "pricing": {
            **per_token(terms),
            "prompt_cost_per_1m": format(terms.input_per_million, "f"),
            "completion_cost_per_1m": format(terms.output_per_million, "f"),
        },
        "context_length": offer.context_length,
        "architecture": shown["architecture"],
        "provider_site_url": shown["provider_site_url"],
        "source_gateway": offer.provider,
    }
