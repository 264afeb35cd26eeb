"""Tiers, by the product that somebody subscribes to; and what a period of each gives."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import InvalidCommandError
from domain.ledger.amounts import check_grant
from domain.pricing.money import parse_usd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ID_CHARACTERS_MAX = 255
OFFERS_MAX = 20
"""Most prices that are offered."""


class Tier(StrEnum):
    """What an account is by its subscriptions, the least first."""

    BASIC = "basic"
    PRO = "pro"
    MAX = "max"


RANK: Mapping[Tier, int] = {tier: rank for rank, tier in enumerate(Tier)}
DEFAULT_ALLOWANCES: Mapping[Tier, str] = {Tier.PRO: "20", Tier.MAX: "150"}
"""USD for each period that is paid."""


class Offer(NamedTuple):
    """A price of a product at the provider, that puts who pays it on a tier."""

    tier: Tier
    product_id: str
    price_id: str


class Offers:
    """All that can be subscribed to here, and what a period of each tier gives (nano-USD)."""

    def __init__(self, offers: Iterable[Offer], allowances: Mapping[Tier, int]) -> None:
        """Raises InvalidCommandError for what contradicts itself, or is too much."""
        self.all = tuple(offers)
        self._allowances = dict(allowances)
        self._tiers: dict[str, Tier] = {}
        if len(self.all) > OFFERS_MAX:
            message = f"at most {OFFERS_MAX} prices are offered"
            raise InvalidCommandError(message)
        for each in self.all:
            if self._tiers.setdefault(each.product_id, each.tier) is not each.tier:
                message = f"the product {each.product_id} is of two tiers"
                raise InvalidCommandError(message)
        if len({each.price_id for each in self.all}) != len(self.all):
            message = "a price is offered twice"
            raise InvalidCommandError(message)

    def tier_of(self, product_id: str) -> Tier | None:
        """The tier of a product; None for one that is not offered here."""
        return self._tiers.get(product_id)

    def allowance(self, tier: Tier) -> int:
        """What a whole period of a tier gives, nano-USD."""
        return self._allowances.get(tier, 0)

    def offered(self, price_id: str, product_id: str | None) -> Offer:
        """The offer of a price; raises InvalidCommandError for one that is none of ours."""
        for each in self.all:
            if each.price_id == price_id and product_id in {None, "", each.product_id}:
                return each
        message = (
            f"there is no price {price_id[:64]!r}"
            + (f" of the product {product_id[:64]!r}" if product_id else "")
            + " to subscribe to here: GET /api/stripe/subscription-tiers lists them"
        )
        raise InvalidCommandError(message)


def offers_of(text: str, allowances: str = "") -> Offers:
    """Offers as settings write them: `pro=prod_A/price_A,max=prod_B/price_B`, and `pro=20,max=150`.

    Raises InvalidCommandError, or InvalidAmountError for an allowance that is none.
    """
    found = []
    for name, value in _pairs(text):
        product, slash, price = value.partition("/")
        if not (slash and _is_id(product) and _is_id(price)):
            message = f"{value[:80]!r} is no offer: write tier=product/price"
            raise InvalidCommandError(message)
        found.append(Offer(_paid_tier(name), product, price))
    given = {**DEFAULT_ALLOWANCES, **{_paid_tier(name): usd for name, usd in _pairs(allowances)}}
    amounts = {tier: parse_usd(usd) for tier, usd in given.items()}
    for amount in amounts.values():
        check_grant(amount)
    return Offers(found, amounts)


def highest(tiers: Iterable[Tier]) -> Tier:
    """The highest of tiers; the basic one for none."""
    return max(tiers, key=RANK.__getitem__, default=Tier.BASIC)


def _pairs(text: str) -> list[tuple[str, str]]:
    parts = (each.partition("=") for each in text.split(",") if each.strip())
    return [(name.strip(), value.strip()) for name, _, value in parts]


def _paid_tier(name: str) -> Tier:
    if name not in {Tier.PRO, Tier.MAX}:
        message = f"{name[:40]!r} is no tier that can be paid for: there are pro and max"
        raise InvalidCommandError(message)
    return Tier(name)


def _is_id(text: str) -> bool:
    plain = text.replace("_", "").replace("-", "")
    return len(text) <= ID_CHARACTERS_MAX and plain.isascii() and plain.isalnum()
