"""Whether an event's figures follow from its hold: prices named by their content, costs recomputed.

What `ledger verify` asks of every call. Pure, and independent of the code that charged: it reads
nothing but the events. Keeps P4 and money rules 1 and 12.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from domain.errors import InvalidPriceError
from domain.events.ledger import (
    HoldExpired,
    HoldExtended,
    HoldRequested,
    HoldSettled,
    HoldVoided,
    HouseLossBooked,
)
from domain.pricing.prices import PriceVersion
from domain.pricing.terms import PriceTerms
from domain.pricing.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from domain.events.ledger import CallEvent

VERSION_DIGEST_BYTES = 6
PRICES_MAX = 20_000
"""Compiled prices that are kept; beyond, all are compiled anew."""

CALLER = "api_key:"
"""How an actor begins that is a caller; the key's id follows."""
SYSTEM = "system:"
"""How an actor begins that is a process of our own."""
ABOUT_A_PRICE = frozenset({"version", "source", "effective_at"})
COUNTS = frozenset(Usage._fields) - {"source", "implausible", "extras", "uses", "service_tier"}


def version_of(provider: str, model: str, source: str, terms: Mapping[str, str]) -> str:
    """The name of a price: who asks it for what, and a digest of its content.

    The same price has the same name for ever, and another price another one.
    """
    content = [provider, model, source, sorted(terms.items())]
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    digest = hashlib.blake2b(text.encode(), digest_size=VERSION_DIGEST_BYTES).hexdigest()
    return f"{provider}/{model}@{digest}"


@dataclass(slots=True)
class Prices:
    """Prices as holds state them, each compiled and checked against its name once."""

    _known: dict[tuple[Any, ...], PriceVersion | str] = field(default_factory=dict)

    def stated(self, provider: str, model: str, price: Mapping[str, str]) -> PriceVersion | str:
        """The price of one offer, or what is wrong with it."""
        key = (provider, model, *price.items())
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= PRICES_MAX:
                self._known.clear()
            found = self._known[key] = _compiled(provider, model, price)
        return found

    def faults_of_hold(self, hold: HoldRequested) -> Iterator[str]:
        """What is wrong with the prices that a hold states, and with who asked for it."""
        if hold.actor.startswith(CALLER) and hold.actor != CALLER + hold.key_id:
            yield f"is by {hold.actor}, whose key is {hold.key_id}"
        for provider, model, price in _offers(hold):
            found = self.stated(provider, model, price)
            if isinstance(found, str):
                yield found

    def faults_of(
        self, hold: HoldRequested, event: CallEvent, lost: Collection[int] = (0,)
    ) -> Iterator[str]:
        """What in an event of a call does not follow from the call's hold.

        `lost` is the house loss that its end and earlier late outcomes booked, nano-USD: more than
        one figure where releases counted differently.
        """
        if event.account_id != hold.account_id:
            yield f"is of account {event.account_id}, its hold of {hold.account_id}"
        match event:
            case HoldExtended():
                yield from _unbound(hold, event)
            case HoldVoided():
                yield from _unbound(hold, event)
                yield from _void_faults(event)
            case HoldSettled():
                yield from _unbound(hold, event)
                yield from self._cost_faults(hold, event)
                charged = event.settled_nano_usd + event.house_loss_nano_usd
                if charged != event.cost_nano_usd:
                    yield f"books {charged} for a cost of {event.cost_nano_usd}"
            case HouseLossBooked():
                yield from self._cost_faults(hold, event)
                if event.cost_nano_usd - event.house_loss_nano_usd not in lost:
                    yield (
                        f"books a loss of {event.house_loss_nano_usd} for a cost of "
                        f"{event.cost_nano_usd}, of which {min(lost)} was lost before"
                    )
            case HoldExpired():
                booked = (event.settled_nano_usd, event.house_loss_nano_usd)
                if booked != (0, hold.estimated_cost_nano_usd):
                    yield f"expired with {booked[1]} lost, {hold.estimated_cost_nano_usd} estimated"
            case _:
                pass

    def _cost_faults(
        self, hold: HoldRequested, event: HoldSettled | HouseLossBooked
    ) -> Iterator[str]:
        cited = (event.provider, event.model, event.price_version)
        for provider, model, price in _offers(hold):
            if (provider, model, price.get("version")) == cited:
                break
        else:
            yield f"cites the price {event.price_version!r}, which its hold does not state"
            return
        compiled = self.stated(provider, model, price)
        usage = usage_of(event.usage)
        if isinstance(usage, str):
            yield usage
        elif isinstance(compiled, PriceVersion):
            unpriced = compiled.lacks(usage)
            if unpriced:
                yield f"charges for {', '.join(unpriced)}, which its price does not have"
                return
            cost = compiled.cost(usage)
            if (cost.nano_usd, Decimal(cost.exact_nano_usd)) != (
                event.cost_nano_usd,
                Decimal(event.cost_exact_nano_usd),
            ):
                yield (
                    f"costs {event.cost_nano_usd} (exactly {event.cost_exact_nano_usd}), but its "
                    f"usage at its price costs {cost.nano_usd} ({cost.exact_nano_usd})"
                )


def _offers(hold: HoldRequested) -> Iterator[tuple[str, str, Mapping[str, str]]]:
    yield hold.provider, hold.model, hold.price
    for each in hold.alternatives:
        yield each["provider"], each["model"], each["price"]


def _compiled(provider: str, model: str, price: Mapping[str, str]) -> PriceVersion | str:
    terms = {name: text for name, text in price.items() if name not in ABOUT_A_PRICE}
    version, source = price.get("version", ""), price.get("source", "")
    if version != version_of(provider, model, source, terms):
        return f"states a price of {provider}/{model} whose terms are not those of {version!r}"
    try:
        parsed = PriceTerms.parse(terms)
    except InvalidPriceError as error:
        return f"states a price of {provider}/{model} that is none: {error}"
    return PriceVersion(
        version=version, source=source, effective_at=price.get("effective_at", ""), terms=parsed
    )


def usage_of(stated: Mapping[str, Any]) -> Usage | str:
    """The usage that an event states, or what is wrong with it."""
    counts = {name: value for name, value in stated.items() if name in COUNTS}
    if any(type(each) is not int or each < 0 for each in counts.values()):
        return f"states a usage that cannot be: {dict(stated)}"
    if not {"input_tokens", "output_tokens"} <= counts.keys():
        return "states no usage"
    extras = stated.get("extras", [])
    if not isinstance(extras, list) or not all(isinstance(each, str) for each in extras):
        return f"states extras that cannot be: {extras}"
    uses, tier = stated.get("uses", {}), stated.get("service_tier", "")
    good = isinstance(uses, dict) and all(type(each) is int and each > 0 for each in uses.values())
    if not good or not isinstance(tier, str):
        return f"states uses or a service tier that cannot be: {uses}, {tier!r}"
    return Usage(**counts, extras=tuple(extras), uses=tuple(uses.items()), service_tier=tier)


def _void_faults(event: HoldVoided) -> Iterator[str]:
    """Nothing is charged for a call that failed before any output, and nothing lost."""
    if event.settled_nano_usd:
        yield f"is void and charges {event.settled_nano_usd}"
    if event.house_loss_nano_usd:
        yield f"is void and books a loss of {event.house_loss_nano_usd}"


def _unbound(hold: HoldRequested, event: CallEvent) -> Iterator[str]:
    """What names another cause than the call's hold, or somebody else who acted."""
    if event.actor != hold.actor and not event.actor.startswith(SYSTEM):
        yield f"is by {event.actor}, its hold of {hold.actor}"
    if event.causation_id not in (None, hold.id):
        yield f"names {event.causation_id} as its cause, its hold is {hold.id}"
    if event.correlation_id != hold.correlation_id:
        yield f"has the request id {event.correlation_id!r}, its hold {hold.correlation_id!r}"
