"""Stripe's events and objects, read: what they say of a payment of ours.

They are signed, or were asked for; they may still be of any type, of another product on the same
account, or of a version that has less in them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from domain.payments.fiat import Fiat
from domain.payments.payment import Observation, Status
from providers.payments.port import PAYMENT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

ID_CHARACTERS_MAX = 255
INTENT, SESSION, EVENT = "payment_intent", "checkout.session", "event"
THIN = "v2.core.event"
"""Events of the second API say which object changed, and not how."""
ASYNC_FAILED = "checkout.session.async_payment_failed"
WATCHED = (
    "payment_intent.succeeded",
    "payment_intent.processing",
    "payment_intent.requires_action",
    "payment_intent.payment_failed",
    "payment_intent.canceled",
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    ASYNC_FAILED,
    "checkout.session.expired",
)
"""Types of events that concern a payment; an endpoint at Stripe is to be sent these."""
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class UnreadableEventError(Exception):
    """It is no event."""


@dataclass(frozen=True, slots=True)
class Notice:
    """An event: something happened to an object. Without `thing` it has to be asked for."""

    id: str
    type: str
    happened_at: int
    kind: str
    name: str
    thing: Mapping[str, Any] | None


def read_notice(body: bytes) -> Notice:
    """An event of either API; raises UnreadableEventError."""
    try:
        return notice_of(_decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = "the body is no JSON object"
        raise UnreadableEventError(message) from None


def notice_of(said: Mapping[str, Any]) -> Notice:
    """The same of an object; raises UnreadableEventError."""
    event_id, kind, sort = (text_in(said.get(name)) for name in ("id", "type", "object"))
    if not (event_id and kind and sort in {EVENT, THIN}):
        message = "the body is no event of Stripe's: id, type or object is missing"
        raise UnreadableEventError(message)
    if sort == THIN:
        about = object_in(said.get("related_object"))
        named = text_in(about.get("type")), text_in(about.get("id"))
        return Notice(event_id, kind, _seconds(said.get("created")), *named, None)
    thing = object_in(object_in(said.get("data")).get("object"))
    named = text_in(thing.get("object")), text_in(thing.get("id"))
    whole = thing if "status" in thing else None
    return Notice(event_id, kind, _seconds(said.get("created")), *named, whole)


def payment_named(thing: Mapping[str, Any]) -> str:
    """The payment of ours that an object is of; empty for none."""
    return text_in(object_in(thing.get("metadata")).get(PAYMENT_KEY))


def observed(thing: Mapping[str, Any], as_of: int, told: str = "") -> Observation | None:
    """What an object says of its payment; None for nothing that counts.

    `told` is the type of the event that brought it.
    """
    if thing.get("object") == INTENT:
        return _of_intent(thing, as_of)
    if thing.get("object") == SESSION:
        return _of_session(thing, as_of, told)
    return None


def _of_intent(thing: Mapping[str, Any], as_of: int) -> Observation | None:
    name, failure = text_in(thing.get("id")), ""
    paid = None
    match thing.get("status"):
        case "succeeded":
            status, paid = Status.COMPLETED, fiat_in(thing, "amount_received")
        case "processing":
            status = Status.PROCESSING
        case "requires_action":
            status = Status.REQUIRES_ACTION
        case "canceled":
            status = Status.CANCELED
        case "requires_payment_method" if thing.get("last_payment_error"):
            status = Status.REQUIRES_PAYMENT_METHOD
            failure = text_in(object_in(thing["last_payment_error"]).get("code")) or "unknown"
        case _:
            return None
    return Observation(status, as_of, paid, intent_id=name, failure=failure)


def _of_session(thing: Mapping[str, Any], as_of: int, told: str) -> Observation | None:
    paid = None
    match thing.get("status"), thing.get("payment_status"):
        case "complete", "paid":
            status, paid = Status.COMPLETED, fiat_in(thing, "amount_total")
        case "complete", "unpaid":
            status = Status.FAILED if told == ASYNC_FAILED else Status.PROCESSING
        case "expired", _:
            status = Status.CANCELED
        case _:
            return None
    name, intent = text_in(thing.get("id")), text_in(thing.get("payment_intent"))
    return Observation(status, as_of, paid, intent_id=intent, session_id=name)


def fiat_in(thing: Mapping[str, Any], name: str) -> Fiat | None:
    """An amount of an object in its currency; None for what is none."""
    amount = thing.get(name)
    if isinstance(amount, bool) or not isinstance(amount, int):
        return None
    return Fiat(amount, text_in(thing.get("currency")).lower())


def object_in(value: Any) -> Mapping[str, Any]:
    """A member that is an object; an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def text_in(value: Any) -> str:
    """A member that is a short text; empty for what is none."""
    fits = isinstance(value, str) and len(value) <= ID_CHARACTERS_MAX and value.isprintable()
    return value if fits else ""


SECONDS_MAX = 4_102_444_800
"""The year 2100."""


def _seconds(value: Any) -> int:
    """Unix time; the second API writes ISO 8601, and what is neither is 0."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= SECONDS_MAX:
        return value
    if isinstance(value, str):
        try:
            return int(msgspec.convert(value, datetime).timestamp())
        except (msgspec.ValidationError, ValueError):
            return 0
    return 0
