"""What a caller is told whose call a quota refuses, or whose trial has ended.

The append names the quota by a number. Its figures are read afterwards, through a connection of its
own and within a short time: without them the refusal goes out all the same.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol
from uuid import UUID

import psycopg
from psycopg_pool import AsyncConnectionPool

from domain.pricing.money import format_usd
from domain.quotas.terms import ScopeKind, Unit
from edge.errors import INSUFFICIENT_QUOTA, PERMISSION, ApiError
from event_store.beside.quotas import BY_NUMBER, TRIAL, Trial, quota_of
from event_store.ids import to_iso
from event_store.postgres.database import hanging_up

if TYPE_CHECKING:
    from event_store.beside.quotas import QuotaNow
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.calls")

FIGURES_WAIT_S = 1.0
"""Longest wait for the connection, and again for its answer, seconds."""

Row = tuple[Any, ...]


class Figures(Protocol):
    """Reads one row of the inline state; None where it cannot be had in time, or is not there."""

    async def row(self, query: str, values: list[Any]) -> Row | None:
        """One row."""
        ...


class DatabaseFigures:
    """Through one connection of its own, so that refusals hold up nobody else."""

    def __init__(self, database: Database) -> None:
        """Nothing is connected before the first refusal."""
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            database.application,
            kwargs={"autocommit": True},
            min_size=0,
            max_size=1,
            timeout=FIGURES_WAIT_S,
            reconnect_timeout=FIGURES_WAIT_S,
            open=False,
        )

    async def close(self) -> None:
        """Disconnect."""
        await self._pool.close()

    async def row(self, query: str, values: list[Any]) -> Row | None:
        """One row, or None."""
        try:
            if self._pool.closed:
                await self._pool.open()
            async with self._pool.connection() as connection:
                with hanging_up(connection, FIGURES_WAIT_S):
                    cursor = await connection.execute(query.encode(), values)
                    return await cursor.fetchone()
        except psycopg.Error as error:
            logger.warning("the figures of a refusal cannot be read: %s", str(error).strip())
            return None


class QuotaRefusals:
    """Of one process."""

    def __init__(self, figures: Figures) -> None:
        """`figures` reads what the messages say."""
        self._figures = figures

    async def exceeded(self, account: bytes, number: int) -> ApiError:
        """A 429 for a call that the quota of this number refused."""
        row = await self._figures.row(BY_NUMBER, [number])
        if row is None:
            return quota_exceeded()
        quota = quota_of(row)
        if quota.scope_kind == ScopeKind.TRIAL_LOT:
            return quota_exceeded(quota, await self._trial(account))
        return quota_exceeded(quota)

    async def trial_ended(self, account: bytes) -> ApiError | None:
        """A 403 for an account that never had other credits than a trial, and it ended."""
        trial = await self._trial(account)
        if trial is None or trial.ends is None or not (trial.ended and trial.alone):
            return None
        return ApiError(
            403,
            "trial_expired",
            "The trial has ended. Add credits to go on.",
            kind=PERMISSION,
            headers={"x-trial-expired": "true", "x-trial-end-date": to_iso(trial.ends)},
        )

    async def _trial(self, account: bytes) -> Trial | None:
        named = UUID(bytes=account)
        row = await self._figures.row(TRIAL, [named, named, named])
        return None if row is None else Trial._make(row)


def quota_exceeded(quota: QuotaNow | None = None, trial: Trial | None = None) -> ApiError:
    """A 429 with what is known of the quota that lacked room, and of the trial that it is of."""
    if quota is None:
        message = "A quota has no room for this call. Ask for less, or have the limit raised."
        return ApiError(429, "quota_exceeded", message, kind=INSUFFICIENT_QUOTA)
    left = max(quota.limit - quota.used - quota.held, 0)
    of = "the trial" if quota.scope_kind == ScopeKind.TRIAL_LOT else f"this {quota.scope_kind}"
    window = "in all" if quota.resets_at is None else f"a {quota.window}"
    cure = (
        "Add credits to go on."
        if quota.scope_kind == ScopeKind.TRIAL_LOT
        else "Ask for less (a lower max_tokens, a shorter prompt), or have the limit raised."
        if quota.resets_at is None
        else f"Ask for less, have the limit raised, or try again after {to_iso(quota.resets_at)}."
    )
    message = (
        f"The quota of {of} is {_amount(quota, quota.limit)} {window}, and {_amount(quota, left)} "
        f"of it is left: not enough for this call. {cure}"
    )
    headers = {}
    if quota.resets_in_s is not None:
        headers["retry-after"] = str(max(quota.resets_in_s, 1))
    if trial is not None:
        headers["x-trial-remaining-tokens"] = str(trial.tokens or 0)
        headers["x-trial-remaining-requests"] = str(trial.requests or 0)
        headers["x-trial-remaining-credits"] = format_usd(trial.credits_nano_usd)
    return ApiError(
        429,
        "quota_exceeded",
        message,
        kind=INSUFFICIENT_QUOTA,
        headers=headers,
        extra={
            "quota_id": str(quota.quota_id),
            "scope": quota.scope_kind,
            "unit": quota.unit,
            "window": quota.window,
            "limit": quota.limit,
            "used": quota.used,
            "held": quota.held,
            "overrun": quota.overrun,
            "resets_at": None if quota.resets_at is None else to_iso(quota.resets_at),
        },
    )


def stream_uncovered(*, by_quota: bool) -> ApiError:
    """What ends a stream whose hold could not be extended."""
    if by_quota:
        message = "A quota has no room for a longer answer: the stream ends here. Have it raised."
        return ApiError(429, "quota_exceeded", message, kind=INSUFFICIENT_QUOTA)
    message = "The credits for a longer answer are not there: the stream ends here. Add credits."
    return ApiError(402, "insufficient_credits", message, kind=INSUFFICIENT_QUOTA)


def _amount(quota: QuotaNow, amount: int) -> str:
    if quota.unit == Unit.NANO_USD:
        return f"{format_usd(amount)} USD"
    return f"{amount} {quota.unit}"


def owing(*, needed: int, owed: int) -> ApiError:
    """A 402 that says what the account owes: nothing is spent before that is paid (nano-USD)."""
    message = (
        f"This account owes {format_usd(owed)} USD, for credits that were refunded or charged "
        "when they were not there. Add credits: they pay that first."
    )
    extra = {
        "needed_nano_usd": needed,
        "needed_usd": format_usd(needed),
        "available_nano_usd": 0,
        "available_usd": format_usd(0),
        "owed_nano_usd": owed,
        "owed_usd": format_usd(owed),
    }
    return ApiError(402, "insufficient_credits", message, kind=INSUFFICIENT_QUOTA, extra=extra)
