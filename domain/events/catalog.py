"""Events of the catalog: what providers list, and what they charge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class CatalogEvent(Event):
    """An event of one provider's catalog; the stream is the provider's."""

    CATEGORY = "catalog"

    provider: str


@dataclass(frozen=True, kw_only=True)
class ModelListed(CatalogEvent):
    """A provider lists a model, or tells something new of it. `model` is the provider's own id."""

    TOPIC = "catalog.model_listed.v1"

    model: str
    canonical_id: str
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelDelisted(CatalogEvent):
    """A provider lists a model no longer."""

    TOPIC = "catalog.model_delisted.v1"

    model: str


@dataclass(frozen=True, kw_only=True)
class PricePublished(CatalogEvent):
    """A price counts for an offer from `effective_at` on; terms in USD as decimal strings.

    `version` is what calls cite; an empty `price` says that the model has none any more.
    """

    TOPIC = "catalog.price_published.v1"

    model: str
    version: str
    source: str
    price: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ListConfirmed(CatalogEvent):
    """A provider's list was fetched, and the log says what it says."""

    TOPIC = "catalog.list_confirmed.v1"

    models: int
