"""Builds entries for the append, with the envelope that real callers write."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from domain.ledger.keys import named_key
from domain.ledger.lots import PRIORITY, DebitKind, GrantKind
from domain.pricing.charges import version_of
from domain.quotas.terms import tokens_of
from event_store.append.entries import Entry, EntryKind
from event_store.ids import new_uuid7, now_iso

SOURCE = "test"
TERMS = {"input_per_million": "0.001", "output_per_million": "0.002"}
"""One nano-USD for a token of the prompt, so that a cost is a number of tokens."""
PRICE = {
    "version": version_of("-", "-", SOURCE, TERMS),
    "source": SOURCE,
    "effective_at": "2026-01-01T00:00:00.000000Z",
    **TERMS,
}


SCOPES = ("key_id", "user_id", "project_id", "organisation_id")


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
    limits: dict[str, int] | None = None,
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
        "limits": limits,
    }
    return Entry(EntryKind.GRANT, lot.bytes, account.bytes, amount, state(**fields))


def hold(
    call: UUID,
    account: UUID,
    amount: int,
    *,
    estimated: int = 0,
    key: bytes = b"",
    follows: UUID | None = None,
    tokens: int = 0,
    scopes: tuple[UUID, ...] = (),
    asks_again: bool = False,
) -> Entry:
    """Reserve credits for a call; `scopes` are its key, its user, its project, its organisation."""
    key_id, user_id = map(str, scopes[:2]) if scopes else ("-", "-")
    fields: dict[str, Any] = {
        "account_id": str(account),
        "user_id": user_id,
        "key_id": key_id,
        "provider": "-",
        "model": "-",
        "amount_nano_usd": amount,
        "estimated_cost_nano_usd": estimated,
        "input_tokens_bound": tokens,
        "output_tokens_bound": 0,
        "stream_reply": False,
        "price": PRICE,
        **_cause(follows),
    }
    if key:
        fields["idempotency"] = named_key(key[:32].hex(), key[32:].hex(), asks_again=asks_again)
    return Entry(
        EntryKind.HOLD,
        call.bytes,
        account.bytes,
        amount,
        state(**fields),
        estimated,
        key,
        _bytes(follows),
        tokens=tokens,
        **dict(zip(SCOPES, (each.bytes for each in scopes), strict=False)),
    )


def _cause(follows: UUID | None) -> dict[str, str]:
    return {} if follows is None else {"causation_id": str(follows)}


def _bytes(follows: UUID | None) -> bytes:
    return b"" if follows is None else follows.bytes


def extend(
    call: UUID, account: UUID, amount: int, *, follows: UUID | None = None, tokens: int = 0
) -> Entry:
    """Reserve more."""
    fields = state(account_id=str(account), amount_nano_usd=amount, **_cause(follows))
    entry = _of_hold(EntryKind.EXTEND, call, account, amount, fields, follows)
    return msgspec.structs.replace(entry, tokens=tokens)


def usage_of(cost: int, output: int = 0) -> dict[str, int]:
    """A usage of this cost: two nano-USD for each token of output, one for each of input."""
    return {"input_tokens": cost - 2 * output, "output_tokens": output}


def settle(
    call: UUID, account: UUID, cost: int, *, follows: UUID | None = None, output: int = 0
) -> Entry:
    """Charge a call."""
    usage = usage_of(cost, output)
    fields = state(
        account_id=str(account),
        usage=usage,
        cost_nano_usd=cost,
        cost_exact_nano_usd=str(cost),
        price_version=PRICE["version"],
        provider="-",
        model="-",
        **_cause(follows),
    )
    entry = _of_hold(EntryKind.SETTLE, call, account, cost, fields, follows)
    return msgspec.structs.replace(entry, tokens=tokens_of(usage))


def void(call: UUID, account: UUID, *, follows: UUID | None = None) -> Entry:
    """Release a call's hold."""
    fields = state(account_id=str(account), **_cause(follows))
    return _of_hold(EntryKind.VOID, call, account, 0, fields, follows)


def expire(call: UUID, account: UUID) -> Entry:
    """Release a dead owner's hold."""
    return _of_hold(EntryKind.EXPIRE, call, account, 0, state(account_id=str(account)), None)


def _of_hold(
    kind: EntryKind, call: UUID, account: UUID, amount: int, fields: bytes, follows: UUID | None
) -> Entry:
    return Entry(kind, call.bytes, account.bytes, amount, fields, 0, b"", _bytes(follows))


def event_id(entry: Entry) -> UUID:
    """The id of the event that an entry makes."""
    return UUID(entry.event_id.decode())


def debit(
    account: UUID,
    amount: int,
    *,
    debit_id: UUID | None = None,
    kind: str = DebitKind.ADMIN_DEBIT,
    lot: UUID | None = None,
) -> Entry:
    """Take credits back."""
    made = debit_id or new_uuid7()
    fields = {
        "account_id": str(account),
        "debit_id": str(made),
        "kind": kind,
        "amount_nano_usd": amount,
        "lot_id": lot and str(lot),
    }
    return Entry(EntryKind.DEBIT, made.bytes, account.bytes, amount, state(**fields))


def transfer(account: UUID, to: UUID, amount: int, *, debit_id: UUID | None = None) -> Entry:
    """Move credits to another account."""
    made = debit_id or new_uuid7()
    fields = {
        "account_id": str(account),
        "debit_id": str(made),
        "kind": DebitKind.TRANSFER,
        "amount_nano_usd": amount,
        "to_account_id": str(to),
        "reason": "gift",
    }
    return Entry(EntryKind.TRANSFER, made.bytes, account.bytes, amount, state(**fields))


def close(account: UUID, lot: UUID) -> Entry:
    """End a lot at once."""
    fields = {"account_id": str(account), "lot_id": str(lot)}
    return Entry(EntryKind.CLOSE, lot.bytes, account.bytes, 0, state(**fields))


def correct(
    call: UUID, account: UUID, cost: int, *, version: str = "2", lot: UUID | None = None
) -> Entry:
    """Charge a settled call what it costs by another price version."""
    fields = {
        "account_id": str(account),
        "price_version": version,
        "cost_nano_usd": cost,
        "lot_id": str(lot or new_uuid7()),
        "reason": "re-rated",
    }
    return Entry(EntryKind.CORRECT, call.bytes, account.bytes, cost, state(**fields))
