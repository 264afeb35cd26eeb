"""What accounts cost the house in a day, and the limit beyond which their calls are refused.

A loss is what nobody pays: a cost above hold and credits (money rule 3), or what a provider made
beyond the maximum that it was told. Each process counts those of its own calls.
"""

from __future__ import annotations

import logging
import time

from edge.errors import RATE_LIMIT, ApiError

logger = logging.getLogger("gatewayz.calls")

DAY_S = 86_400
ACCOUNTS_MAX = 100_000
"""Most accounts with a loss that are remembered in a day; of more the oldest is forgotten."""


class HouseLosses:
    """The losses of the day (UTC), by account, in nano-USD."""

    def __init__(self, day_max: int) -> None:
        """`day_max` bounds an account's losses of a day."""
        self._day_max = day_max
        self._day = 0
        self._by_account: dict[bytes, int] = {}

    def check(self, account: bytes) -> None:
        """Raises ApiError 429 for an account whose losses of today are at the limit."""
        if not self._by_account:
            return  # The rule: nobody has any.
        now_s = int(time.time())
        if self._day != now_s // DAY_S:
            self._by_account.clear()
            return
        lost = self._by_account.get(account)
        if lost is not None and lost >= self._day_max:
            left_s = DAY_S - now_s % DAY_S
            message = (
                "Calls of this account cost more today than it could pay, up to the limit that is "
                "set for a day. Try again tomorrow (UTC), with a lower max_tokens or more credits."
            )
            after = {"retry-after": str(left_s)}
            raise ApiError(429, "house_loss_limit", message, kind=RATE_LIMIT, headers=after)

    def note(self, account: bytes, nano_usd: int) -> None:
        """An account's call cost so much that nobody pays."""
        if nano_usd <= 0:
            return
        today = int(time.time()) // DAY_S
        if self._day != today:
            self._day = today
            self._by_account.clear()
        if len(self._by_account) >= ACCOUNTS_MAX and account not in self._by_account:
            del self._by_account[next(iter(self._by_account))]
        before = self._by_account.get(account, 0)
        self._by_account[account] = before + nano_usd
        if before < self._day_max <= before + nano_usd:
            logger.warning("account %s reached its house losses of a day", account.hex())
