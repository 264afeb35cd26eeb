"""`catalog_offers`: which models providers list, at what price, and how prices changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from domain.events.catalog import (
    CatalogEvent,
    ListConfirmed,
    ModelDelisted,
    ModelListed,
    PricePublished,
)
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, key

if TYPE_CHECKING:
    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes

OFFERS = Table(
    name="catalog_offer",
    about="One row a model at a provider. It is listed while `listed_position` is the greater.",
    columns=(
        key("provider", "text"),
        key("model", "text", "The provider's own id."),
        Column("canonical_id", "text", Merge.LATEST, by="listed_position"),
        Column("facts", "text", Merge.LATEST, by="listed_position", about="JSON."),
        Column("price_version", "text", Merge.LATEST, by="price_position"),
        Column("price_source", "text", Merge.LATEST, by="price_position"),
        Column("price_effective_at", "timestamptz", Merge.LATEST, by="price_position"),
        Column("price", "text", Merge.LATEST, by="price_position", about="JSON, USD as strings."),
        Column("listed_position", "bigint", Merge.MAX),
        Column("price_position", "bigint", Merge.MAX),
        Column("delisted_position", "bigint", Merge.MAX, about="0 when it never was."),
    ),
    indexes=("canonical_id",),
)
PRICES = Table(
    name="catalog_price",
    about="Every price that was published, in the order of the log.",
    columns=(
        key("position", "bigint"),
        Column("provider", "text", Merge.ONCE),
        Column("model", "text", Merge.ONCE),
        Column("version", "text", Merge.ONCE),
        Column("source", "text", Merge.ONCE),
        Column("effective_at", "timestamptz", Merge.ONCE),
        Column(
            "price",
            "text",
            Merge.ONCE,
            about="JSON, USD as strings; {} says there is none any more.",
        ),
    ),
    appended=True,
    indexes=("provider, model, effective_at",),
)
PROVIDERS = Table(
    name="catalog_provider",
    about="When each provider's list was last confirmed.",
    columns=(
        key("provider", "text"),
        Column("confirmed_at", "timestamptz", Merge.MAX),
        Column("models", "bigint", Merge.LATEST, by="position"),
        Column("position", "bigint", Merge.MAX),
    ),
)


class CatalogOffers(Projection):
    """See the module."""

    name = "catalog_offers"
    about = "Models and prices of all providers."
    tables = (OFFERS, PRICES, PROVIDERS)
    handles = (CatalogEvent,)
    watches = ("catalog.",)

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Take an event of a provider's catalog."""
        event, position = entry.event, entry.position
        nothing = (None, None, None, None)
        values: tuple[Any, ...]
        match event:
            case ModelListed():
                told = (event.canonical_id, _text(event.facts))
                values = (*told, *nothing, position, 0, 0)
                changes.merge(OFFERS, (event.provider, event.model), values)
            case ModelDelisted():
                values = (None, None, *nothing, 0, 0, position)
                changes.merge(OFFERS, (event.provider, event.model), values)
            case PricePublished():
                price = (event.version, event.source, event.effective_at, _text(event.price))
                values = (None, None, *price, 0, position, 0)
                changes.merge(OFFERS, (event.provider, event.model), values)
                row = (position, event.provider, event.model, *price)
                changes.append(PRICES, row)
            case ListConfirmed():
                confirmed = (event.effective_at, event.models, position)
                changes.merge(PROVIDERS, (event.provider,), confirmed)
            case _:
                pass


def _text(value: dict[str, Any]) -> str:
    """One form for the same content, so that both hosts write the same bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def read_catalog(select: Select, provider: str) -> tuple[str | None, list[dict[str, Any]]]:
    """When a provider's list was last confirmed (ISO 8601), and the models it lists."""
    confirmed = select(f"SELECT confirmed_at FROM {PROVIDERS.view} WHERE provider = %s", [provider])
    rows = select(
        "SELECT model, canonical_id, facts, price_source, price_effective_at, price "
        f"FROM {OFFERS.view} WHERE provider = %s AND listed_position > delisted_position "
        "ORDER BY model",
        [provider],
    )
    found = [
        {
            "model": model,
            "canonical_id": canonical_id,
            "facts": json.loads(facts),
            "source": source or "",
            "effective_at": effective_at,
            "price": json.loads(price or "{}"),
        }
        for model, canonical_id, facts, source, effective_at, price in rows
    ]
    return (confirmed[0][0].isoformat() if confirmed else None), found


class PublishedPrice(NamedTuple):
    """A price as it was published; terms in USD as decimal strings."""

    provider: str
    model: str
    version: str
    source: str
    effective_at: str
    terms: dict[str, str]


def read_price(select: Select, version: str) -> PublishedPrice | None:
    """The price of this name, which says whose it is; None where none was published."""
    provider, _, _ = version.partition("/")
    rows = select(
        "SELECT provider, model, version, source, effective_at, price "
        f"FROM {PRICES.view} WHERE provider = %s AND version = %s ORDER BY position LIMIT 1",
        [provider, version],
    )
    for provider_, model, name, source, effective_at, price in rows:
        return PublishedPrice(
            provider_, model, name, source or "", effective_at.isoformat(), json.loads(price)
        )
    return None


def read_offers_named(select: Select, name: str) -> set[tuple[str, str]]:
    """Offers (provider, model) of a model: its canonical id, or a provider's own one."""
    rows = select(
        f"SELECT provider, model FROM {OFFERS.view} "
        "WHERE canonical_id = %s OR model = %s OR provider || '/' || model = %s",
        [name, name, name],
    )
    return {(provider, model) for provider, model in rows}
