"""What accounts cost the house in a day, and the limit beyond which their calls are refused.

A loss is what nobody pays: a cost above hold and credits (money rule 3), which the append counts
with the settlement, or what a provider made beyond the maximum that it was told, which a process
adds every `SHARE_INTERVAL_S`. What a gateway's death costs is not the account's doing and does
not count. Each process knows the losses of its own calls at once, and those of all, also of dead
ones, after that time.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

from edge.errors import RATE_LIMIT, ApiError
from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    import psycopg

    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.calls")

DAY_S = 86_400
ACCOUNTS_MAX = 100_000
"""Most accounts with a loss that are remembered in a day; of more the oldest is forgotten."""
SHARE_INTERVAL_S = 2.0
SHARE_TIMEOUT_S = 5.0
KEPT_DAYS = 7
AMOUNT_MAX = 2**63 - 1

_ADD = """
INSERT INTO house_loss_of_day AS known (day, account_id, nano_usd)
SELECT %s, * FROM unnest(%s::uuid[], %s::bigint[])
ON CONFLICT (day, account_id) DO UPDATE
  SET nano_usd = least(known.nano_usd::numeric + excluded.nano_usd, 9223372036854775807)"""
_FORGET = "DELETE FROM house_loss_of_day WHERE day < %s"
_REACHED = """
SELECT account_id FROM house_loss_of_day WHERE day = %s AND nano_usd >= %s LIMIT %s"""


class HouseLosses:
    """The losses of the day (UTC), by account, in nano-USD."""

    def __init__(self, day_max: int) -> None:
        """`day_max` bounds an account's losses of a day."""
        self._day_max = day_max
        self._day = 0
        self._by_account: dict[bytes, int] = {}
        self._unshared: dict[bytes, int] = {}
        self._reached: frozenset[bytes] = frozenset()
        """Accounts at the limit by the losses of all processes."""

    def refusal_of(self, account: bytes) -> ApiError | None:
        """A 429 for an account whose losses of today are at the limit."""
        if not self._by_account and not self._reached:
            return None  # The rule: nobody has any.
        now_s = int(time.time())
        self._begin(now_s // DAY_S)
        lost = self._by_account.get(account)
        if account in self._reached or (lost is not None and lost >= self._day_max):
            left_s = DAY_S - now_s % DAY_S
            message = (
                "Calls of this account cost more today than it could pay, up to the limit that is "
                "set for a day. Try again tomorrow (UTC), with a lower max_tokens or more credits."
            )
            after = {"retry-after": str(left_s)}
            return ApiError(429, "house_loss_limit", message, kind=RATE_LIMIT, headers=after)
        return None

    def note(self, account: bytes, nano_usd: int) -> None:
        """An account's call cost so much that nobody pays, and that no event says."""
        if nano_usd > 0:
            self.learn(account, nano_usd)
            _add(self._unshared, account, nano_usd)

    def learn(self, account: bytes, nano_usd: int) -> None:
        """A settlement left such a loss, and the append has counted it."""
        self._begin(int(time.time()) // DAY_S)
        before = _add(self._by_account, account, nano_usd)
        if before < self._day_max <= before + nano_usd:
            logger.warning("account %s reached its house losses of a day", account.hex())

    @property
    def unshared(self) -> bool:
        """Whether anything was noted that no other process knows."""
        return bool(self._unshared)

    async def share(self, database: Database) -> None:
        """Add what this process noted since, and learn who is at the limit.

        Raises psycopg.Error; what was noted is shared the next time then.
        """
        today = int(time.time()) // DAY_S
        self._begin(today)
        day = datetime.fromtimestamp(today * DAY_S, UTC).date()
        connection = await database.connect_async()
        async with connection:
            with hanging_up(connection, SHARE_TIMEOUT_S):
                if self._unshared:
                    await self._tell(connection, day)
                cursor = await connection.execute(_REACHED, [day, self._day_max, ACCOUNTS_MAX])
                reached = frozenset(account.bytes for (account,) in await cursor.fetchall())
        if self._day == today:
            self._reached = reached

    async def _tell(self, connection: psycopg.AsyncConnection[Any], day: date) -> None:
        noted, self._unshared, began = self._unshared, {}, self._day
        # In one order, so that no two processes wait for each other.
        accounts = sorted(noted)
        amounts = [min(noted[each], AMOUNT_MAX) for each in accounts]
        try:
            await connection.execute(_ADD, [day, [UUID(bytes=each) for each in accounts], amounts])
        except BaseException:
            if self._day == began:
                for account, nano_usd in noted.items():
                    _add(self._unshared, account, nano_usd)
            raise
        await connection.execute(_FORGET, [day - timedelta(days=KEPT_DAYS)])

    def _begin(self, today: int) -> None:
        """Forget the losses of another day."""
        if self._day != today:
            self._day = today
            self._by_account.clear()
            self._unshared.clear()
            self._reached = frozenset()


def _add(losses: dict[bytes, int], account: bytes, nano_usd: int) -> int:
    """Add to one account, within `ACCOUNTS_MAX`; returns what it had before."""
    if len(losses) >= ACCOUNTS_MAX and account not in losses:
        del losses[next(iter(losses))]
    before = losses.get(account, 0)
    losses[account] = before + nano_usd
    return before
