"""The price by which each call is rated anew: of a line of a batch its batch's share of it.

What a batch pays of a price was decided when it was made, and stands on its first event. A call
names its batch by its events' correlation id, which callers cannot set.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.batches.price import batch_of, line_price
from domain.events.work.batches import BatchCreated
from domain.pricing.shares import WHOLE
from event_store.log.reading import read_of_streams

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    import psycopg

    from domain.events.ledger import HoldSettled
    from domain.pricing.prices import PriceVersion


class PricesOfCalls:
    """The price, and its shares for the batches of one page of calls."""

    def __init__(self, offer: tuple[str, str], price: PriceVersion) -> None:
        """`price` is what the offer (provider, and its own id of the model) costs now."""
        self._offer, self._price = offer, price
        self._batches: dict[UUID, BatchCreated] = {}
        self._shares: dict[int, PriceVersion] = {}

    def read(
        self, connection: psycopg.Connection[tuple[object, ...]], page: Sequence[HoldSettled]
    ) -> None:
        """Learn of the batches of these calls, and forget those of the page before."""
        named = {found for each in page if (found := batch_of(each.correlation_id))}
        entries = read_of_streams(connection, named, BatchCreated.TOPIC) if named else []
        made = [each.event for each in entries]
        self._batches = {
            each.originator_id: each for each in made if isinstance(each, BatchCreated)
        }

    def of(self, settled: HoldSettled) -> PriceVersion:
        """What a call of the page costs by."""
        made_for = batch_of(settled.correlation_id)
        batch = self._batches.get(made_for) if made_for else None
        if batch is None or batch.account_id != settled.account_id:
            return self._price
        percent = batch.price_percent
        if percent == WHOLE:
            return self._price
        if percent not in self._shares:
            self._shares[percent] = line_price(*self._offer, self._price, percent)
        return self._shares[percent]
