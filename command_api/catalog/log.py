"""Tells the log what providers list and what they charge, and takes it back from there at a start.

One stream a provider. Several gateways may find the same news: optimistic concurrency lets one of
them tell it, and the others then find that nothing is left to say.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid5

import psycopg
from eventsourcing.persistence import IntegrityError

from domain.catalog import CatalogState, ModelFacts, OfferRecord
from domain.events.catalog import ListConfirmed
from edge.lanes import Lane
from event_store.ids import new_uuid7, now_iso, to_iso
from event_store.log.aggregates import Aggregates
from projections.catalog.catalog_offers import read_catalog
from projections.engine.projection import select_on
from providers.inference.lists.model_list import ListLogUnavailableError
from providers.inference.registry.offers import Listed

if TYPE_CHECKING:
    from domain.events.base import Event
    from event_store.postgres.database import Database
    from providers.inference.registry.offers import Provider

logger = logging.getLogger("gatewayz.catalog")

NAMESPACE = UUID("5a3c1f5e-6a0b-5d0e-9c3b-2f6d1b7a4e10")
"""Names the providers' streams."""
ACTOR = "system:catalog"
APPEND_EVENTS_MAX = 100
"""Few enough that calls which wait for the append lock hardly notice."""
TRIES_MAX = 3
STATEMENT_S = 30.0
"""Longest time in which a provider's catalog is read from the database."""
WAITING_MAX = 1_000
"""More providers than anybody has."""


def stream_of(provider: str) -> UUID:
    """The stream of a provider's catalog."""
    return uuid5(NAMESPACE, provider)


def records_of(provider: Provider) -> dict[str, OfferRecord]:
    """What a provider offers now, as the log tells it; the operator's own entries stand first."""
    found: dict[str, OfferRecord] = {
        item.id: OfferRecord(
            canonical_id=provider.canonical_of(item.id), facts=item.facts.as_dict(), price={}
        )
        for item in provider.unpriced.values()
    }
    for models in (provider.listed, provider.models):
        for model in models.values():
            found[model.id] = OfferRecord(
                canonical_id=model.canonical,
                facts=model.facts.as_dict(),
                version=model.price.version,
                source=model.price.source,
                price=model.price.terms.as_strings(),
                effective_at=model.price.effective_at,
            )
    return found


class CatalogLog:
    """One for each process; it works in threads, beside the calls."""

    def __init__(self, database: Database, *, confirm_s: float) -> None:
        """A list is confirmed anew when its last confirmation is older than `confirm_s`."""
        self._database = database
        self._confirm = timedelta(seconds=confirm_s)
        self._aggregates: Aggregates | None = None
        self._states: dict[str, CatalogState] = {}
        self._lock = asyncio.Lock()
        # One by one, and never on the threads that bring the ledger back.
        self._lane = Lane("catalog", threads=1, waiting_max=WAITING_MAX)

    async def read(self, provider: Provider) -> tuple[list[Listed], str] | None:
        """What the log says that a provider listed, and when that was last confirmed.

        None before the first list. Raises ListLogUnavailableError.
        """
        try:
            confirmed, rows = await self._lane.run(self._read, provider.name)
        except psycopg.Error as error:
            message = f"the catalog could not be restored: {error}"
            raise ListLogUnavailableError(message) from error
        if confirmed is None:
            return None
        return [_listed(row) for row in rows if row["model"] not in provider.models], confirmed

    async def publish(self, provider: Provider, *, confirmed: bool = True) -> None:
        """Tell the log what is new; a ledger that is away is told the next time."""
        async with self._lock:
            try:
                await self._lane.run(self._publish, provider, confirmed=confirmed)
            except psycopg.Error as error:
                logger.warning("the catalog of %s was not stored: %s", provider.name, error)

    def close(self) -> None:
        """Disconnect."""
        self._lane.close()
        if self._aggregates is not None:
            self._aggregates.close()
            self._aggregates = None

    def _read(self, provider: str) -> tuple[str | None, list[dict[str, Any]]]:
        with self._database.connect(statement_s=STATEMENT_S) as connection:
            return read_catalog(select_on(connection), provider)

    def _publish(self, provider: Provider, *, confirmed: bool) -> None:
        records = records_of(provider)
        for _ in range(TRIES_MAX):
            state = self._state(provider.name)
            events = self._news(provider.name, state, records, confirmed=confirmed)
            try:
                self._append(state, events)
            except IntegrityError:
                del self._states[provider.name]  # Another gateway was quicker: read what it told.
            else:
                return
        logger.warning("the catalog of %s was not stored: others write it too", provider.name)

    def _state(self, provider: str) -> CatalogState:
        state = self._states.get(provider)
        if state is None:
            if self._aggregates is None:
                self._aggregates = Aggregates(self._database)
            state = CatalogState()
            for event in self._aggregates.events_of(stream_of(provider)):
                state.apply(event)
            self._states[provider] = state
        return state

    def _news(
        self,
        provider: str,
        state: CatalogState,
        records: dict[str, OfferRecord],
        *,
        confirmed: bool,
    ) -> list[Event]:
        changes = state.changes(records)
        now = now_iso()
        if confirmed and (changes or self._is_due(state, now)):
            changes.append((ListConfirmed, {"models": len(records)}))
        correlation_id = str(new_uuid7())
        return [
            cls(
                originator_id=stream_of(provider),
                originator_version=state.version + number,
                id=str(new_uuid7()),
                actor=ACTOR,
                correlation_id=correlation_id,
                provider=provider,
                **{"effective_at": now, **members},
            )
            for number, (cls, members) in enumerate(changes, 1)
        ]

    def _is_due(self, state: CatalogState, now: str) -> bool:
        if not state.confirmed_at:
            return True
        age = datetime.fromisoformat(now) - datetime.fromisoformat(state.confirmed_at)
        return age >= self._confirm

    def _append(self, state: CatalogState, events: list[Event]) -> None:
        assert self._aggregates is not None
        for at in range(0, len(events), APPEND_EVENTS_MAX):
            batch = events[at : at + APPEND_EVENTS_MAX]
            self._aggregates.append(batch)
            for event in batch:
                state.apply(event)


def _listed(row: dict[str, Any]) -> Listed:
    return Listed(
        id=row["model"],
        facts=ModelFacts.of(row["facts"]),
        terms=row["price"] or None,
        source=row["source"],
        effective_at=to_iso(row["effective_at"]) if row["effective_at"] else "",
    )
