"""Charges of settled calls corrected: each is one entry of the append, once for each price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

import msgspec

from domain.errors import InvalidAmountError, InvalidCommandError
from domain.ledger.amounts import entry_amount_is_possible
from domain.pricing.money import ENTRY_NANO_USD_MAX, format_usd
from event_store.append.entries import AppendCode, Entry, EntryKind
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from event_store.append.committer import Committer


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What a settled call costs by another price version, in nano-USD."""

    call_id: UUID
    account_id: UUID
    cost: int
    price_version: str
    reason: str
    provider: str = ""
    model: str = ""


class UncorrectableError(InvalidCommandError):
    """The call was not settled for this account, or has another cost by this price version."""


async def append_correction(
    committer: Committer, correction: Correction, *, actor: str
) -> tuple[int, bool]:
    """Charge the difference, or give it back; nano-USD, and whether it was done now.

    Raises InvalidAmountError, UncorrectableError, and EventStoreError when the ledger cannot be
    reached or refuses the entry.
    """
    if not entry_amount_is_possible(correction.cost):
        message = (
            f"a call costs from 0 to {format_usd(ENTRY_NANO_USD_MAX)} USD, not "
            f"{format_usd(correction.cost)}"
        )
        raise InvalidAmountError(message)
    lot_id = uuid5(correction.call_id, f"corrected {correction.price_version}")
    fields = {
        **new_envelope(actor),
        "account_id": str(correction.account_id),
        "price_version": correction.price_version,
        "cost_nano_usd": correction.cost,
        "lot_id": str(lot_id),
        "provider": correction.provider,
        "model": correction.model,
        "reason": correction.reason,
    }
    call, account = correction.call_id.bytes, correction.account_id.bytes
    state = msgspec.json.encode(fields)[:-1]
    answer = await committer.append(Entry(EntryKind.CORRECT, call, account, correction.cost, state))
    if answer.code == AppendCode.UNKNOWN_CALL:
        message = f"account {correction.account_id} was charged for no call {correction.call_id}"
        raise UncorrectableError(message)
    if answer.code == AppendCode.IDEMPOTENCY_KEY_REUSED:
        message = (
            f"call {correction.call_id} was corrected to another cost by price version "
            f"{correction.price_version}: it is corrected once by each"
        )
        raise UncorrectableError(message)
    return answer.figure, answer.code == AppendCode.OK
