"""Builds entries for the append, with the envelope that real callers write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from domain.ledger.lots import PRIORITY, GrantKind
from event_store.append.entries import Entry, EntryKind
from event_store.ids import new_uuid7, now_iso

if TYPE_CHECKING:
    from uuid import UUID


def state(**fields: Any) -> bytes:
    """The event's JSON without its closing brace."""
    envelope = {
        "id": str(new_uuid7()),
        "effective_at": now_iso(),
        "actor": "test",
        "correlation_id": "test",
    }
    return msgspec.json.encode({**envelope, **fields})[:-1]


def grant(
    account: UUID,
    amount: int,
    *,
    lot: UUID | None = None,
    kind: str = "bonus",
    expires_at: str | None = None,
) -> Entry:
    """Give credits."""
    lot = lot or new_uuid7()
    fields = {
        "account_id": str(account),
        "lot_id": str(lot),
        "kind": kind,
        "priority": PRIORITY[GrantKind(kind)],
        "amount_nano_usd": amount,
        "expires_at": expires_at,
    }
    return Entry(EntryKind.GRANT, lot.bytes, account.bytes, amount, state(**fields))


def hold(call: UUID, account: UUID, amount: int, *, estimated: int = 0, key: bytes = b"") -> Entry:
    """Reserve credits for a call."""
    fields: dict[str, Any] = {
        "account_id": str(account),
        "user_id": "-",
        "key_id": "-",
        "provider": "-",
        "model": "-",
        "amount_nano_usd": amount,
        "estimated_cost_nano_usd": estimated,
        "input_tokens_bound": 0,
        "output_tokens_bound": 0,
        "stream_reply": False,
        "price": {"version": "model"},
    }
    if key:
        fields["idempotency"] = {"key_hash": key[:32].hex(), "digest": key[32:].hex()}
    return Entry(EntryKind.HOLD, call.bytes, account.bytes, amount, state(**fields), estimated, key)


def extend(call: UUID, account: UUID, amount: int) -> Entry:
    """Reserve more."""
    fields = state(account_id=str(account), amount_nano_usd=amount)
    return Entry(EntryKind.EXTEND, call.bytes, account.bytes, amount, fields)


def settle(call: UUID, account: UUID, cost: int) -> Entry:
    """Charge a call."""
    fields = state(
        account_id=str(account),
        usage={},
        cost_nano_usd=cost,
        cost_exact_nano_usd=str(cost),
        price_version="model",
        provider="-",
        model="-",
    )
    return Entry(EntryKind.SETTLE, call.bytes, account.bytes, cost, fields)


def void(call: UUID, account: UUID) -> Entry:
    """Release a call's hold."""
    fields = state(account_id=str(account))
    return Entry(EntryKind.VOID, call.bytes, account.bytes, 0, fields)


def expire(call: UUID, account: UUID) -> Entry:
    """Release a dead owner's hold."""
    fields = state(account_id=str(account))
    return Entry(EntryKind.EXPIRE, call.bytes, account.bytes, 0, fields)
