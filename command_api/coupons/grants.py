"""The credits of uses: granted at once by who redeems, else by the background process.

The lot of a use is always the same, so whoever grants it, and however often, grants it once (P3).
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from command_api.money.grants import Grant, append_grant
from domain.coupons.coupon import grant_key
from domain.errors import DomainError
from domain.ledger.lots import GrantKind
from event_store.beside.coupons import note_granted, waiting_uses
from event_store.errors import EntryRefusedError

if TYPE_CHECKING:
    from event_store.append.committer import Committer
    from event_store.beside.coupons import Use
    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz.coupons")

COMPLETED_MAX = 1_000
"""Uses that one pass of the background process completes."""
STATEMENT_S = 10.0
ACTOR = "system:coupons"


async def grant_use(committer: Committer, use: Use, *, actor: str) -> None:
    """The credits of a use; those that are granted already stay as they are.

    Raises InvalidAmountError, EventStoreError.
    """
    grant = Grant(
        account_id=use.account_id,
        amount=use.value,
        kind=GrantKind.BONUS,
        reason=f"coupon {use.code}",
        idempotency_key=grant_key(use.coupon_id),
    )
    await append_grant(committer, grant, actor=actor)


async def complete_uses(database: Database, committer: Committer) -> int:
    """Grant what somebody redeemed and nobody has granted yet; returns how many uses that were.

    Raises psycopg.Error, and EventStoreError when the ledger is away.
    """

    def waiting() -> list[Use]:
        with database.connect(statement_s=STATEMENT_S) as connection:
            return waiting_uses(connection, COMPLETED_MAX)

    def noted(use: Use) -> None:
        with database.connect(statement_s=STATEMENT_S) as connection:
            note_granted(connection, use.lot_id)

    completed = 0
    for use in await asyncio.to_thread(waiting):
        try:
            await grant_use(committer, use, actor=ACTOR)
        except (DomainError, EntryRefusedError) as error:  # The others go on.
            logger.error("the coupon of lot %s cannot be granted: %s", use.lot_id, error)  # noqa: TRY400
            continue
        await asyncio.to_thread(noted, use)
        completed += 1
    if completed:
        logger.warning("%d redeemed coupons had no credits yet, and have them now", completed)
    return completed
