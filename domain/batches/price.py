"""What a line of a batch costs: the share of its offer's price that the batch was made at.

The share is a price of its own with a version of its own, for the call as for a correction of it
(money rules 12 and 17).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID

from domain.pricing.shares import WHOLE, shared_price

if TYPE_CHECKING:
    from domain.pricing.prices import PriceVersion

_NAMED = re.compile(r"batch_([0-9a-f]{32})")


def batch_of(correlation_id: str) -> UUID | None:
    """The batch that a call's events name as what they belong to; None where they name none."""
    found = _NAMED.fullmatch(correlation_id)
    return UUID(found[1]) if found else None


def line_price(provider: str, model: str, whole: PriceVersion, percent: int) -> PriceVersion:
    """So many percent of a price; the price itself at all of it. Raises ValueError beyond 0 to 100.

    It follows from the price and the percent alone, so a line that is rated anew by a price cites
    what a line that was called at that price would cite.
    """
    if percent == WHOLE:
        return whole
    source = f"{whole.source}, batch: {percent} of {WHOLE}"
    return shared_price(provider, model, whole, percent, source)
