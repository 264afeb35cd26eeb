"""The test cards of https://docs.stripe.com/testing, and what becomes of a payment with each."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

FINGERPRINT_CHARACTERS = 16


class Card(NamedTuple):
    """What happens to a payment: a decline, a question to the owner, a dispute afterwards."""

    code: str = ""
    decline_code: str = ""
    message: str = ""
    authentication: bool = False
    """3-D Secure: the owner is asked first."""
    dispute: str = ""
    """The reason of a dispute that is opened at once; empty for none."""
    fingerprint: str = ""
    """Tells one card from another, whoever pays with it."""

    @property
    def declined(self) -> bool:
        """Whether the issuer refuses it."""
        return bool(self.code)


def _declined(why: str, message: str = "Your card was declined.") -> Card:
    return Card("card_declined", why, message)


CARDS: Mapping[str, Card] = {
    "4242424242424242": Card(),
    "5555555555554444": Card(),
    "378282246310005": Card(),
    "4000000000000002": _declined("generic_decline"),
    "4000000000009995": _declined("insufficient_funds", "Your card has insufficient funds."),
    "4000000000009987": _declined("lost_card"),
    "4000000000009979": _declined("stolen_card"),
    "4000000000000069": Card("expired_card", "", "Your card has expired."),
    "4000000000000127": Card("incorrect_cvc", "", "Your card's security code is incorrect."),
    "4000000000000119": Card(
        "processing_error", "", "An error occurred while processing your card. Try again."
    ),
    "4000002500003155": Card(authentication=True),
    "4000002760003184": Card(authentication=True),
    "4000008400001629": Card(
        "card_declined", "generic_decline", "Your card was declined.", authentication=True
    ),
    # It can be left with us, and is declined whenever it is charged.
    "4000000000000341": _declined("generic_decline"),
    "4000000000000259": Card(dispute="fraudulent"),
    "4000000000002685": Card(dispute="product_not_received"),
}
"""By number."""

METHODS: Mapping[str, str] = {
    "pm_card_visa": "4242424242424242",
    "pm_card_mastercard": "5555555555554444",
    "pm_card_amex": "378282246310005",
    "pm_card_chargeDeclined": "4000000000000002",
    "pm_card_visa_chargeDeclined": "4000000000000002",
    "pm_card_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "pm_card_chargeDeclinedLostCard": "4000000000009987",
    "pm_card_chargeDeclinedStolenCard": "4000000000009979",
    "pm_card_chargeDeclinedExpiredCard": "4000000000000069",
    "pm_card_chargeDeclinedIncorrectCvc": "4000000000000127",
    "pm_card_chargeDeclinedProcessingError": "4000000000000119",
    "pm_card_authenticationRequired": "4000002760003184",
    "pm_card_createDispute": "4000000000000259",
}
"""Payment methods that stand for a number."""


ALWAYS_ASKED = "4000002760003184"
"""Its owner is asked each time, and so nobody can charge it without them."""


def left_card(given: str) -> Card | None:
    """What a card does that was left with us, and is charged while its owner is away."""
    number = METHODS.get(given, given)
    if number == ALWAYS_ASKED:
        return Card(
            "authentication_required",
            "authentication_required",
            "Your card was declined. This transaction requires authentication.",
        )
    card = CARDS.get(number)
    return None if card is None else card._replace(authentication=False)


def card_of(given: str) -> Card | None:
    """By number, with or without blanks, or by payment method; None for any other."""
    number = METHODS.get(given, "".join(given.split()))
    card = CARDS.get(number)
    if card is None:
        return None
    digest = hashlib.sha256(number.encode()).hexdigest()
    return card._replace(fingerprint=digest[:FINGERPRINT_CHARACTERS])
