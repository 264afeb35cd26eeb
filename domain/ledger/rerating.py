"""What a settled call costs by another version of its offer's price, or why that cannot be said.

The one function of prices works it out, on the usage as the settlement has it. Keeps P4, P10 and
money rules 1 and 17.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from domain.ledger.adjustments import charge_of
from domain.ledger.amounts import entry_amount_is_possible
from domain.pricing.charges import usage_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from domain.events.ledger import ChargeCorrected, HoldSettled
    from domain.pricing.prices import Cost, PriceVersion
    from domain.pricing.usage import Usage

STATED = "stated:"
"""How the name of a cost begins that a provider stated for one call, in place of a price."""


class Why(StrEnum):
    """Why a call is not rated anew."""

    OTHER_OFFER = "other_offer"
    OWN_KEY = "own_key"
    NO_TERM = "no_term"
    BAD_USAGE = "bad_usage"
    STATED_COST = "stated_cost"
    OUT_OF_RANGE = "out_of_range"
    CORRECTED_OTHERWISE = "corrected_otherwise"


class NotRated(NamedTuple):
    """A call that is left as it is."""

    why: Why
    said: str


class Rated(NamedTuple):
    """What a call costs now, and by the other price; nano-USD, the exact figures unrounded."""

    old: int
    old_exact: str
    new: int
    new_exact: str
    charge: int
    """What is charged more, below zero what is given back: what was house loss stays so."""
    done: bool
    """Whether this price corrected it before."""

    @property
    def changes(self) -> bool:
        """Whether there is something to correct."""
        return not self.done and self.new != self.old


def rate(
    settled: HoldSettled,
    corrections: Sequence[ChargeCorrected],
    offer: tuple[str, str],
    price: PriceVersion,
) -> Rated | NotRated:
    """Rate a call by a price of an offer (provider, and its own id of the model)."""
    cost = _cost(settled, offer, price)
    if isinstance(cost, NotRated):
        return cost
    charge = charge_of([settled, *corrections])
    assert charge is not None
    before = next((each for each in corrections if each.price_version == price.version), None)
    if before is not None and before.cost_nano_usd != cost.nano_usd:
        said = f"this price corrected it to {before.cost_nano_usd} nano-USD before"
        return NotRated(Why.CORRECTED_OTHERWISE, said)
    if before is not None:
        return Rated(charge.cost, str(charge.cost), charge.cost, str(charge.cost), 0, done=True)
    if corrections and corrections[-1].price_version.startswith(STATED):
        return NotRated(Why.STATED_COST, "its provider stated what it costs")
    exact = str(charge.cost) if corrections else settled.cost_exact_nano_usd
    moved = charge.more(cost.nano_usd) - charge.back(cost.nano_usd)
    return Rated(charge.cost, exact, cost.nano_usd, cost.exact_nano_usd, moved, done=False)


def _cost(settled: HoldSettled, offer: tuple[str, str], price: PriceVersion) -> Cost | NotRated:
    """What the usage costs by the price, if it has a term for all of it."""
    if (settled.provider, settled.model) != offer:
        said = f"it was answered by {settled.provider}/{settled.model}, whose price is another"
        return NotRated(Why.OTHER_OFFER, said)
    if settled.attempts and settled.attempts[-1].get("own_key"):
        return NotRated(Why.OWN_KEY, "its customer's own key paid for it, and a fee was charged")
    usage = usage_of(settled.usage)
    if isinstance(usage, str):
        return NotRated(Why.BAD_USAGE, f"it {usage}")
    lacking = ", ".join(_unpriced(usage, price))
    if lacking:
        return NotRated(Why.NO_TERM, f"the price has no term for {lacking}")
    cost = price.cost(usage)
    if not entry_amount_is_possible(cost.nano_usd):
        return NotRated(Why.OUT_OF_RANGE, f"it would cost {cost.exact_nano_usd} nano-USD")
    return cost


def _unpriced(usage: Usage, price: PriceVersion) -> Iterator[str]:
    """What was used and has no term; a term that falls back to another has one."""
    yield from price.lacks(usage)
    if usage.images and not price.counts_images:
        yield "images"
    if usage.audio_seconds and not price.counts_seconds:
        yield "seconds of audio"
    if usage.searches and not price.counts_searches:
        yield "searches"
    if usage.characters and not price.counts_characters:
        yield "characters"
    other_units = usage.images or usage.searches
    if (usage.input_tokens or usage.output_tokens) and not (price.counts_tokens or other_units):
        yield "tokens"
