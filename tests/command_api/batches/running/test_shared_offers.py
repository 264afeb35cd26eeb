"""An offer at a share of its price, exactly."""

from __future__ import annotations

from decimal import Decimal

import pytest

from command_api.batches.running.shared_offers import SharedOffers
from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage
from providers.inference.registry.offers import Model

pytestmark = pytest.mark.pure

TERMS = {
    "input_per_million": "0.15",
    "output_per_million": "0.6",
    "cached_input_per_million": "0.075",
    "per_request": "0.01",
    "input_per_million_above_1000": "0.3",
    "extra_web_search": "0.5",
    "input_per_million_at_flex": "0.07",
    "output_per_million_at_flex": "0.3",
}


def offer_of(terms: dict[str, str]) -> Model:
    """An offer at this price."""
    price = PriceVersion(
        version="v", source="file", effective_at="t", terms=PriceTerms.parse(terms)
    )
    return Model(id="m", provider="p", price=price)


def test_every_term_is_so_much_of_what_it_was() -> None:
    """Tiers, extras and service tiers with them, under a name that follows from them
    (P4, money rule 12).
    """
    whole = offer_of(TERMS)
    half = SharedOffers().of(whole, 50)
    told = half.price.terms.as_strings()
    assert {name: Decimal(text) for name, text in told.items()} == {
        name: Decimal(text) / 2 for name, text in TERMS.items()
    }
    assert (half.id, half.provider, half.price.effective_at) == ("m", "p", "t")
    assert half.price.source == "file, batch: 50 of 100"
    assert half.price.version == version_of("p", "m", half.price.source, told)
    for tokens, tier in ((10, ""), (2_000, ""), (10, "flex")):
        usage = Usage(
            input_tokens=tokens, output_tokens=20, extras=("web_search",), service_tier=tier
        )
        assert half.price.cost(usage).nano_usd * 2 == whole.price.cost(usage).nano_usd


def test_none_is_free() -> None:
    """At 0 percent every term is 0, and the price can be read from the log again (P4)."""
    free = SharedOffers().of(offer_of(TERMS), 0)
    assert free.price.cost(Usage(input_tokens=5_000, output_tokens=9)).nano_usd == 0
    assert PriceTerms.parse(free.price.terms.as_strings()) == free.price.terms


def test_a_price_without_tokens_states_none_afterwards() -> None:
    """What prices searches alone goes on to do so (P10)."""
    half = SharedOffers().of(offer_of({"per_thousand_searches": "2"}), 50)
    assert half.price.terms.per_thousand_searches == Decimal(1)
    assert half.price.terms.tokens_stated is False


def test_an_offer_is_made_once_and_anew_where_its_price_changed() -> None:
    """A changed price is never sold at the share of the old one (money rule 12)."""
    offers, first = SharedOffers(), offer_of(TERMS)
    assert offers.of(first, 50) is offers.of(first, 50)
    assert offers.of(first, 25) is not offers.of(first, 50)
    dearer = offer_of({**TERMS, "input_per_million": "1"})
    assert offers.of(dearer, 50).price.terms.input_per_million == Decimal("0.5")
