"""The whole story of a call, read from the log itself and not from a projection."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from domain.events import (
    CallEvent,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HoldSettled,
    HouseLossBooked,
)
from domain.holds import HoldMove, HoldState, next_state
from domain.ledger import MOVES
from domain.money import format_usd
from event_store.ids import to_iso
from event_store.log import LogEntry, read_stream

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.database import Connects


def call_story(database: Connects, call_id: UUID, account_id: str) -> dict[str, Any] | None:
    """The story of the owner's call; None when there is none, or it is another's.

    A call that was refused before its hold has no story.
    """
    with database.connect() as connection:
        entries = read_stream(connection, call_id)
    state = HoldState.NONE
    placed: HoldPlaced | None = None
    end: HoldResolved | None = None
    attempts: list[dict[str, Any]] = []
    held = 0
    for entry in entries:
        event = entry.event
        if not isinstance(event, CallEvent) or event.account_id != account_id:
            return None
        state = next_state(state, MOVES[type(event)])
        match event:
            case HoldPlaced():
                placed, held = event, event.amount_nano_usd
                end = None
            case HoldExtended():
                held += event.amount_nano_usd
            case HoldResolved():
                end = event
                attempts += event.attempts
            case HouseLossBooked():
                attempts += event.attempts
            case _:
                pass
    if placed is None or state not in STATUSES:
        return None
    return _story(call_id, entries, state, placed, held, end, attempts)


STATUSES = {
    HoldState.HELD: "held",
    HoldState.SETTLED: "settled",
    HoldState.VOIDED: "voided",
    HoldState.EXPIRED: "expired",
}


def _story(
    call_id: UUID,
    entries: list[LogEntry],
    state: HoldState,
    placed: HoldPlaced,
    held: int,
    end: HoldResolved | None,
    attempts: list[dict[str, Any]],
) -> dict[str, Any]:
    settled = end if isinstance(end, HoldSettled) else None
    amount = settled.settled_nano_usd if settled else 0
    released = end.released_nano_usd if end else 0
    lost = end.house_loss_nano_usd if end else 0
    return {
        "id": str(call_id),
        "object": "call",
        "status": STATUSES[state],
        "model": placed.model,
        "provider": placed.provider,
        "stream": placed.stream_reply,
        "correlation_id": placed.correlation_id,
        "held_nano_usd": held,
        "held_usd": format_usd(held),
        "settled_nano_usd": amount,
        "settled_usd": format_usd(amount),
        "released_nano_usd": released,
        "released_usd": format_usd(released),
        "house_loss_nano_usd": lost,
        "house_loss_usd": format_usd(lost),
        "usage": settled.usage if settled else None,
        "price": placed.price,
        "arithmetic": _arithmetic(settled, placed.price) if settled else None,
        "lots": [*settled.lots, *settled.beyond_lots] if settled else [],
        "reason": end.reason if end else None,
        "provider_request_id": settled.provider_request_id if settled else None,
        "attempts": attempts,
        "events": [
            {
                "id": entry.event.id,
                "type": entry.event.TOPIC,
                "position": entry.position,
                "booked_at": to_iso(entry.booked_at),
            }
            for entry in entries
        ],
    }


def _arithmetic(settled: HoldSettled, price: dict[str, str]) -> dict[str, Any]:
    """Each term of the cost: units × price, exactly, and the one rounding at the end."""
    usage = settled.usage
    cached, written = usage["cached_input_tokens"], usage.get("cache_write_tokens", 0)
    input_price = price["input_per_million"]
    output_price = price["output_per_million"]
    units = [
        ("input", usage["input_tokens"] - cached - written, input_price),
        ("cached_input", cached, price.get("cached_input_per_million", input_price)),
        ("cache_write", written, price.get("cache_write_per_million", input_price)),
        ("output", usage["output_tokens"] - usage["reasoning_tokens"], output_price),
        (
            "reasoning",
            usage["reasoning_tokens"],
            price.get("reasoning_per_million", output_price),
        ),
    ]
    terms = [
        {
            "term": name,
            "tokens": tokens,
            "usd_per_million": per_million,
            "nano_usd": format(Decimal(tokens) * Decimal(per_million) * 1_000, "f"),
        }
        for name, tokens, per_million in units
        if tokens
    ]
    if "per_request" in price:
        nano = Decimal(price["per_request"]) * 1_000_000_000
        terms.append(
            {"term": "request", "usd": price["per_request"], "nano_usd": format(nano, "f")}
        )
    return {
        "terms": terms,
        "exact_nano_usd": settled.cost_exact_nano_usd,
        "rounding": "half to even, once",
        "cost_nano_usd": settled.cost_nano_usd,
    }


# The moves are named so that a new one cannot be forgotten here.
assert set(MOVES.values()) == set(HoldMove), "every move has its event"
