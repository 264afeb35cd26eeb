"""The credits of a refund or a dispute move: taken before they are given back, each once.

They move under keys of the provider's object, and again by whoever sees it again: who dies in
between leaves work that the next one does, and neither does it twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from command_api.money.debits import Debit, append_debit
from command_api.money.grants import Grant, append_grant
from domain.ledger.lots import DebitKind
from event_store.ids import to_iso

if TYPE_CHECKING:
    from domain.ledger.lots import GrantKind
    from domain.payments.returned import Return
    from event_store.append.committer import Committer


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What had given the credits: the lot, what paid for it, and the kind of what is given back."""

    account_id: UUID
    lot_id: str | None
    payment_id: str
    kind: GrantKind


async def move_credits(committer: Committer, source: Source, what: Return, *, actor: str) -> None:
    """Take, and give back, what is due of it; raises as `append_debit` and `append_grant`."""
    name = f"{what.kind} {what.id}"
    if what.taken:
        debit = Debit(
            account_id=source.account_id,
            debit_key=name,
            amount=what.taken,
            reason=f"{name}: {what.reason}" if what.reason else name,
            kind=DebitKind(what.kind.value),
            lot_id=UUID(source.lot_id) if source.lot_id else None,
            payment_id=source.payment_id,
        )
        await append_debit(committer, debit, actor=actor)
    if what.given:
        ends = to_iso(datetime.fromtimestamp(what.ends, UTC)) if what.ends else None
        grant = Grant(
            account_id=source.account_id,
            amount=what.given,
            kind=source.kind,
            reason=f"{name} came back",
            expires_at=ends,
            idempotency_key=f"{name} back",
            payment_id=source.payment_id,
        )
        await append_grant(committer, grant, actor=actor)
