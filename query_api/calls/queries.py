"""The whole story of a call, read from the log itself and not from a projection."""

from __future__ import annotations

from contextlib import suppress
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.events.ledger import (
    CallEvent,
    ChargeCorrected,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HoldSettled,
    HouseLossBooked,
)
from domain.ledger.holds import HoldMove, HoldState, next_state
from domain.ledger.state import MOVES
from domain.pricing.audio import second_rate
from domain.pricing.money import EXACT, format_usd
from domain.pricing.terms import PriceTerms
from event_store.ids import to_iso
from event_store.log.reading import LogEntry, read_stream
from projections.all import projection_named
from projections.engine.freshness import await_own_writes
from projections.engine.projection import select_on
from projections.usage.activity_log import read_call_of_completion

if TYPE_CHECKING:
    from event_store.postgres.database import Connects


ACTIVITY = projection_named("activity_log")
BATCH_PREFIX, GUARDED_PREFIX = "batch_", "guarded_"
OWN_PREFIXES = ("chatcmpl-", "cmpl-")
"""Before the call's id, where the gateway makes the `id` of a reply: of chat, of completions."""


def story_of_completion(
    database: Connects, completion_id: str, account_id: str, *, wait_s: float
) -> dict[str, Any] | None:
    """The story of the owner's call whose reply had this `id`; None when there is none.

    An `id` of our own making names the call itself; of others the read model finds the call, once
    it shows all that was there when this was asked. Raises ProjectionLaggingError when it does not
    within `wait_s`.
    """
    if (own := _own_call(completion_id)) and (story := call_story(database, own, account_id)):
        return story
    with database.connect() as connection:
        await_own_writes(connection, ACTIVITY, wait_s)
        select = select_on(connection)
        call_id = read_call_of_completion(select, UUID(account_id), completion_id)
    return None if call_id is None else call_story(database, call_id, account_id)


def _own_call(completion_id: str) -> UUID | None:
    """The call of an `id` that the gateway gave, because the provider gave none."""
    with suppress(ValueError):
        if completion_id.startswith(OWN_PREFIXES):
            return UUID(completion_id.partition("-")[2])
    return None


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
    price = _price_of(placed, settled)
    amount = settled.settled_nano_usd if settled else 0
    released = end.released_nano_usd if end else 0
    lost = end.house_loss_nano_usd if end else 0
    corrections = _corrections(entries)
    charged = amount + sum(each["difference_nano_usd"] for each in corrections)
    with localcontext(EXACT):
        arithmetic = _arithmetic(settled, price) if settled else None
    return {
        "id": str(call_id),
        "object": "call",
        "status": STATUSES[state],
        "model": settled.model if settled else placed.model,
        "provider": settled.provider if settled else placed.provider,
        "stream": placed.stream_reply,
        "correlation_id": placed.correlation_id,
        **_part_of(placed),
        "queued_ms": placed.queued_ms,
        "held_nano_usd": held,
        "held_usd": format_usd(held),
        "settled_nano_usd": amount,
        "settled_usd": format_usd(amount),
        "charged_nano_usd": charged,
        "charged_usd": format_usd(charged),
        "corrections": corrections,
        "released_nano_usd": released,
        "released_usd": format_usd(released),
        "house_loss_nano_usd": lost,
        "house_loss_usd": format_usd(lost),
        "usage": settled.usage if settled else None,
        "price": price,
        "alternatives": placed.alternatives,
        "arithmetic": arithmetic,
        "lots": [*settled.lots, *settled.beyond_lots] if settled else [],
        "reason": end.reason if end else None,
        "provider_request_id": settled.provider_request_id if settled else None,
        "cached_from": (settled.cached_from or None) if settled else None,
        **({"semantic": settled.semantic} if settled and settled.semantic else {}),
        "guards": [*placed.guards, *(settled.guards if settled else ())],
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


def _part_of(placed: HoldPlaced) -> dict[str, str]:
    """The batch whose line the call is, or the call that a guard made it for, which its events
    name; what callers name is hashed.
    """
    named = placed.correlation_id
    if named.startswith(GUARDED_PREFIX):
        return {"guarded_call_id": named.removeprefix(GUARDED_PREFIX)}
    return {"batch_id": named} if named.startswith(BATCH_PREFIX) else {}


def _corrections(entries: list[LogEntry]) -> list[dict[str, Any]]:
    """What was charged for the call later, or given back, by other prices (money rule 17)."""
    told = []
    for entry in entries:
        event = entry.event
        if isinstance(event, ChargeCorrected):
            more = event.taken_nano_usd + event.owed_nano_usd - event.returned_nano_usd
            told.append(
                {
                    "price_version": event.price_version,
                    "cost_nano_usd": event.cost_nano_usd,
                    "cost_usd": format_usd(event.cost_nano_usd),
                    "difference_nano_usd": more,
                    "difference_usd": format_usd(more),
                    "reason": event.reason,
                    "booked_at": to_iso(entry.booked_at),
                }
            )
    return told


PRICE_LABELS = frozenset({"version", "source", "effective_at"})


def _price_of(placed: HoldPlaced, settled: HoldSettled | None) -> dict[str, str]:
    """The price that the hold cites for the offer that answered (money rule 12)."""
    if settled is not None:
        for each in placed.alternatives:
            if each["price"]["version"] == settled.price_version:
                found: dict[str, str] = each["price"]
                return found
    return placed.price


def _beside_tokens(
    usage: dict[str, Any], stated: PriceTerms
) -> tuple[tuple[str, int, Decimal | None, int], ...]:
    """What is no token: its name, how many, the price, and of how many that is."""
    others: tuple[tuple[str, int, Decimal | None, int], ...] = (
        ("request", 1, stated.per_request, 1),
        ("input_image", usage.get("input_images", 0), stated.per_input_image, 1),
        ("image", usage.get("images", 0), stated.per_image, 1),
        ("pixel", usage.get("image_pixels", 0), stated.per_megapixel, PIXELS_PER_MEGAPIXEL),
        ("search", usage.get("searches", 0), stated.per_thousand_searches, 1_000),
        ("character", usage.get("characters", 0), stated.per_million_characters, 1_000_000),
    )
    extras, uses = dict(stated.extras), dict(stated.uses)
    others += tuple((name, 1, extras.get(name), 1) for name in usage.get("extras", ()))
    others += tuple(
        (name, count, uses.get(name), USES_PER_PRICE)
        for name, count in usage.get("uses", {}).items()
    )
    return others


def _arithmetic(settled: HoldSettled, price: dict[str, str]) -> dict[str, Any]:
    """Each term of the cost: units × price, exactly, and the one rounding at the end."""
    usage = settled.usage
    stated = PriceTerms.parse({k: v for k, v in price.items() if k not in PRICE_LABELS})
    at = stated.at(usage["input_tokens"])
    cached, written = usage["cached_input_tokens"], usage.get("cache_write_tokens", 0)
    kept_long = usage.get("cache_write_1h_tokens", 0)
    heard, spoken = usage.get("audio_input_tokens", 0), usage.get("audio_output_tokens", 0)
    seen, heard_again, seen_again = (usage.get(name, 0) for name in REALTIME_KINDS)
    reasoning = usage["reasoning_tokens"]
    tokens = (
        ("input", usage["input_tokens"] - cached - written - heard - seen),
        ("cached_input", cached - heard_again - seen_again),
        ("image_input", seen),
        ("cached_audio_input", heard_again),
        ("cached_image_input", seen_again),
        ("cache_write", written - kept_long),
        ("cache_write_1h", kept_long),
        ("audio_input", heard),
        ("output", usage["output_tokens"] - reasoning - spoken),
        ("reasoning", reasoning),
        ("audio_output", spoken),
    )
    terms = [
        {
            "term": name,
            "tokens": count,
            "usd_per_million": format(at[f"{name}_per_million"], "f"),
            "nano_usd": format(count * at[f"{name}_per_million"] * 1_000, "f"),
        }
        for name, count in tokens
        if count
    ]
    if tier := usage.get("service_tier"):
        served = dict(stated.service_tiers)[tier].at(usage["input_tokens"])
        more = sum(
            count * (served[f"{name}_per_million"] - at[f"{name}_per_million"])
            for name, count in tokens
        )
        terms.append(
            {"term": "service_tier", "service_tier": tier, "nano_usd": format(more * 1_000, "f")}
        )
    terms += [
        {
            "term": name,
            "count": count,
            "usd": format(each, "f"),
            "nano_usd": format(count * each * 1_000_000_000 / per, "f"),
        }
        for name, count, each, per in _beside_tokens(usage, stated)
        if each and count
    ]
    seconds = usage.get("audio_seconds", 0)
    if seconds and stated.per_minute is not None:
        usd, nano = stated.per_minute, seconds * second_rate(stated.per_minute)
        told = {"usd_per_minute": format(usd, "f"), "nano_usd": format(nano, "f")}
        terms.append({"term": "second", "count": seconds, **told})
    return {
        "terms": terms,
        "exact_nano_usd": settled.cost_exact_nano_usd,
        "rounding": "half to even, once",
        "cost_nano_usd": settled.cost_nano_usd,
    }


REALTIME_KINDS = ("image_input_tokens", "cached_audio_input_tokens", "cached_image_input_tokens")
PIXELS_PER_MEGAPIXEL = 1_000_000
USES_PER_PRICE = 1_000


# The moves are named so that a new one cannot be forgotten here.
assert set(MOVES.values()) == set(HoldMove), "every move has its event"
