"""The most that an entry, a grant and an account may be, in nano-USD.

Far above what a customer pays, far below what a signed 64-bit integer holds: whatever is added,
no figure of the ledger can overflow. The store's append refuses by the same numbers (P1, P4).
"""

from __future__ import annotations

from domain.errors import InvalidAmountError
from domain.pricing.money import ENTRY_NANO_USD_MAX, format_usd

GRANT_NANO_USD_MAX = 10**16
"""One grant: 10,000,000 USD."""
ACCOUNT_GRANTED_NANO_USD_MAX = 10**18
"""All that was ever granted to one account: 1,000,000,000 USD."""

ACCOUNT_OWED_NANO_USD_MAX = 10**18
"""All that one account may owe; a debit beyond it is refused."""
OWED_WITHOUT_HOLDS_NANO_USD = 10**9
"""1 USD: an account that owes more than this places no holds, not even those that cost nothing."""
TRANSFER_LOTS_MAX = 100
"""So many lots one transfer takes from: each becomes a lot of the other account."""


def check_grant(amount: int) -> None:
    """Raise InvalidAmountError unless so much, in nano-USD, can be one grant."""
    if not 0 < amount <= GRANT_NANO_USD_MAX:
        message = (
            f"{format_usd(amount)} USD cannot be granted: one grant is more than 0 and at most "
            f"{format_usd(GRANT_NANO_USD_MAX)} USD"
        )
        raise InvalidAmountError(message)


def check_debit(amount: int) -> None:
    """Raise InvalidAmountError unless so much, in nano-USD, can be taken back or moved at once."""
    if not 0 < amount <= GRANT_NANO_USD_MAX:
        message = (
            f"{format_usd(amount)} USD cannot be taken: it is more than 0 and at most "
            f"{format_usd(GRANT_NANO_USD_MAX)} USD at once"
        )
        raise InvalidAmountError(message)


def entry_amount_is_possible(*amounts: int) -> bool:
    """Whether a hold, a cost or an estimate can be so much."""
    return all(0 <= amount <= ENTRY_NANO_USD_MAX for amount in amounts)
