"""Settled calls of one offer, and versions of its price, as gateways write them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from command_api.catalog.log import stream_of
from domain.batches.batch import Batch, Wanted, create
from domain.batches.price import line_price
from domain.events.catalog import ModelListed, PricePublished
from domain.pricing.charges import version_of
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from event_store.append.entries import Entry, EntryKind
from event_store.ids import new_envelope, new_uuid7, now_iso
from event_store.log.aggregates import Aggregates
from projections.catalog.catalog_offers import CatalogOffers
from projections.engine.runner import Runner
from tests.support import entries

if TYPE_CHECKING:
    from uuid import UUID

    from domain.pricing.usage import Usage
    from event_store.postgres.database import Database

OFFER = ("p", "m")
SOURCE = "test"
HELD = 10**9
OLD = {"input_per_million": "0.5", "output_per_million": "1"}
NEW = {
    "input_per_million": "0.2505",
    "output_per_million": "1",
    "cached_input_per_million": "0.0255",
    "cache_write_per_million": "0.3",
    "reasoning_per_million": "2",
    "input_per_million_above_200": "0.7515",
}


def version(terms: dict[str, str], offer: tuple[str, str] = OFFER) -> str:
    """What a price of these terms is called."""
    return version_of(*offer, SOURCE, terms)


def price(terms: dict[str, str]) -> PriceVersion:
    """The price."""
    return PriceVersion(
        version=version(terms), source=SOURCE, effective_at="", terms=PriceTerms.parse(terms)
    )


def publish(database: Database, *prices: dict[str, str], offer: tuple[str, str] = OFFER) -> None:
    """List the model, tell its prices, and project both."""
    tell_prices(database, *prices, offer=offer)
    with database.connect() as connection:
        runner = Runner(CatalogOffers())
        while runner.advance(connection, 1_000)[0]:
            pass


def tell_prices(
    database: Database, *prices: dict[str, str], offer: tuple[str, str] = OFFER
) -> None:
    """The same, to be projected by whoever follows the log."""
    provider, model = offer
    stream = stream_of(provider)
    aggregates = Aggregates(database)
    try:
        first = len(aggregates.events_of(stream)) + 1
        told: list[Any] = [
            ModelListed(
                originator_id=stream,
                originator_version=first,
                **new_envelope("test"),
                provider=provider,
                model=model,
                canonical_id=f"org/{model}",
            )
        ]
        for place, terms in enumerate(prices, first + 1):
            named = version(terms, offer) if terms else "none"
            told.append(
                PricePublished(
                    originator_id=stream,
                    originator_version=place,
                    **new_envelope("test"),
                    provider=provider,
                    model=model,
                    version=named,
                    source=SOURCE,
                    price=terms,
                )
            )
        aggregates.append(told)
    finally:
        aggregates.close()


def _priced(
    offer: tuple[str, str], share: tuple[UUID, int] | None
) -> tuple[PriceVersion, dict[str, str]]:
    """What a call costs by, and what its events say of a batch."""
    whole = PriceVersion(
        version=version(OLD, offer), source=SOURCE, effective_at="", terms=PriceTerms.parse(OLD)
    )
    if share is None:
        return whole, {}
    batch_id, percent = share
    return line_price(*offer, whole, percent), {"correlation_id": f"batch_{batch_id.hex}"}


def batch(database: Database, account: UUID, percent: int) -> UUID:
    """A batch whose lines pay so many percent."""
    made = new_uuid7()
    user, key, file = (str(new_uuid7()) for _ in range(3))
    wanted = Wanted(str(account), user, key, "/v1/chat/completions", file, now_iso(), percent)
    aggregates = Aggregates(database)
    try:
        aggregates.append(create(Batch(), made, wanted, new_envelope("test")))
    finally:
        aggregates.close()
    return made


def call(
    account: UUID,
    usage: Usage,
    offer: tuple[str, str] = OFFER,
    *,
    call_id: UUID | None = None,
    share: tuple[UUID, int] | None = None,
) -> list[Entry]:
    """A call that was held and settled by the old price.

    `share` makes it a line of a batch that pays so many percent of it.
    """
    call_id = call_id or new_uuid7()
    provider, model = offer
    by, about = _priced(offer, share)
    stated = {"version": by.version, "source": by.source, "effective_at": now_iso()}
    stated |= by.terms.as_strings() if share else OLD
    held = entries.state(
        **about,
        account_id=str(account),
        user_id="-",
        key_id="-",
        provider=provider,
        model=model,
        amount_nano_usd=HELD,
        estimated_cost_nano_usd=0,
        input_tokens_bound=0,
        output_tokens_bound=0,
        stream_reply=False,
        price=stated,
    )
    cost = by.cost(usage._replace(extras=()))
    settled = entries.state(
        **about,
        account_id=str(account),
        usage=usage.as_dict(),
        cost_nano_usd=cost.nano_usd,
        cost_exact_nano_usd=cost.exact_nano_usd,
        price_version=stated["version"],
        provider=provider,
        model=model,
        attempts=[
            {
                "provider": provider,
                "model": model,
                "status": 200,
                "started_at": now_iso(),
                "duration_ms": 5,
                "cost_nano_usd": cost.nano_usd,
            }
        ],
    )
    return [
        Entry(EntryKind.HOLD, call_id.bytes, account.bytes, HELD, held),
        Entry(EntryKind.SETTLE, call_id.bytes, account.bytes, cost.nano_usd, settled),
    ]
