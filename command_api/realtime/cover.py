"""What a session's hold covers, and how it grows before what it must cover does (money rule 2)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from command_api.realtime.refusals import uncovered
from domain.pricing.money import ENTRY_NANO_USD_MAX
from edge.errors import ledger_unavailable

if TYPE_CHECKING:
    from command_api.calls.call import Call
    from command_api.calls.cashier import Cashier
    from domain.realtime.session import SessionCount
    from edge.errors import ApiError

AHEAD_SHARE = 4
"""A hold grows by a quarter of a response more than it must."""
LEAST_TOKENS = 256
"""A hold grows by at least so many tokens of output, so that no frame of audio grows it alone."""


class NoRoomError(Exception):
    """The hold cannot grow: the session ends."""

    def __init__(self, error: ApiError, *, away: bool = False) -> None:
        """`away` where that is the ledger's doing."""
        super().__init__(error.code)
        self.error, self.away = error, away


class Cover:
    """The hold of one session."""

    def __init__(self, cashier: Cashier, call: Call, count: SessionCount) -> None:
        """It covers the first response already."""
        self._cashier, self._call, self._count = cashier, call, count
        self._tokens = call.tokens
        self._growing = asyncio.Lock()

    async def hold(self) -> None:
        """Return once the hold covers what the session can cost; raises NoRoomError.

        Rather it grows by a part of a response more at a time, so that it grows seldom; where the
        account has no room for that, by what is needed now.
        """
        if self._missing <= 0 and self._missing_tokens <= 0:
            return
        async with self._growing:
            missing, tokens = max(self._missing, 0), max(self._missing_tokens, 0)
            if not (missing or tokens):
                return
            following, price = self._count.next_response, self._call.model.price
            least = price.bound(input_tokens=0, output_tokens=LEAST_TOKENS)
            ahead = price.bound(
                input_tokens=following.input_tokens // AHEAD_SHARE,
                output_tokens=following.output_tokens // AHEAD_SHARE,
            )
            for more, further in (
                (missing + ahead, tokens + following.tokens // AHEAD_SHARE),
                (missing + least, tokens + LEAST_TOKENS),
                (missing, tokens),
            ):
                if more <= ENTRY_NANO_USD_MAX and await self._grown(more, further):
                    return
        raise NoRoomError(uncovered(by_quota=self._call.out_of_quota))

    async def _grown(self, more: int, tokens: int) -> bool:
        """Whether the hold is so much larger; raises NoRoomError where nobody can tell."""
        before = self._call.held
        if not await self._cashier.extend(self._call, tokens, more):
            return False
        if self._call.held == before and more:
            raise NoRoomError(ledger_unavailable(), away=True)
        self._tokens += tokens
        return True

    @property
    def _missing(self) -> int:
        return self._count.cost_bound() - self._call.held

    @property
    def _missing_tokens(self) -> int:
        return self._count.bound.tokens - self._tokens
