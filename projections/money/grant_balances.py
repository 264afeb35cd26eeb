"""The balances around grants, as the statement has them: what an account had before, and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events.ledger import CreditsGranted
from projections.money.credit_statement import STATEMENT_LINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from projections.engine.projection import Select

_POSITIONS = (
    "SELECT notification_id, convert_from(state, 'UTF8')::jsonb ->> 'lot_id' FROM events "
    "WHERE originator_id = %s AND topic = %s"
)


def read_grant_balances(
    connection: psycopg.Connection[Any], select: Select, account_id: UUID, lots: Sequence[UUID]
) -> dict[UUID, tuple[int, int]]:
    """By lot the posted balance before and after its grant, nano-USD; those not granted lack."""
    rows = connection.execute(_POSITIONS, [account_id, CreditsGranted.TOPIC]).fetchall()
    wanted = {position: UUID(lot) for position, lot in rows if UUID(lot) in lots}
    lines = select(
        f"SELECT position, balance_before, balance_after FROM {STATEMENT_LINE.view} "
        "WHERE position = ANY (%s)",
        [list(wanted)],
    )
    return {wanted[position]: (before, after) for position, before, after in lines}
