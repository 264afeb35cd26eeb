"""Credits in packages, some for less than they are worth (money rule 12)."""

from __future__ import annotations

from dataclasses import dataclass

from domain.errors import InvalidCommandError
from domain.payments.fiat import USD, Fiat
from domain.pricing.money import NANO_PER_USD


@dataclass(frozen=True, slots=True)
class CreditPackage:
    """So many credits (USD) for so many cents."""

    id: str
    name: str
    credits: int
    cents: int
    description: str
    features: tuple[str, ...]
    popular: bool = False

    @property
    def credits_nano_usd(self) -> int:
        """What it gives."""
        return self.credits * NANO_PER_USD

    @property
    def price(self) -> Fiat:
        """What it costs."""
        return Fiat(self.cents, USD)

    @property
    def discount_percentage(self) -> int:
        """How much less it costs than its credits are worth, in percent."""
        full = self.credits * 100
        return (full - self.cents) * 100 // full


PACKAGES: tuple[CreditPackage, ...] = (
    CreditPackage(
        "starter",
        "Starter",
        10,
        1_000,
        "10 USD of credits.",
        ("All models", "Credits never expire"),
    ),
    CreditPackage(
        "professional",
        "Professional",
        50,
        4_500,
        "50 USD of credits for 45 USD.",
        ("All models", "Credits never expire", "10 % off"),
        popular=True,
    ),
)
"""All there are."""


def package_named(name: str) -> CreditPackage:
    """One of them; raises InvalidCommandError naming those there are."""
    for each in PACKAGES:
        if each.id == name:
            return each
    known = ", ".join(each.id for each in PACKAGES)
    message = f"there is no credit package {name[:64]!r}: there are {known}"
    raise InvalidCommandError(message)
