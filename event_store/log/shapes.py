"""The shape of every event: its members, their types, the bounds of its figures.

Reading an event checks the names of its members; this checks what they hold, from the domain's
own classes. It is what verification asks of each event before it is folded.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, fields
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
from eventsourcing.persistence import MapperDeserialisationError

from domain.events.all import EVENT_CLASSES
from domain.events.ledger import HouseLossBooked, LotPart, QuotaPart, QuotaUse
from event_store.log.codec import decode_event, decode_or_mark

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event

AMOUNT_MAX = 2**63 - 1
"""What a figure of the ledger's tables can hold, nano-USD."""
TEXT_CHARACTERS_MAX = 1_048_576

_Text = Annotated[str, msgspec.Meta(max_length=TEXT_CHARACTERS_MAX)]
_Count = Annotated[int, msgspec.Meta(ge=0, le=AMOUNT_MAX)]
_Signed = Annotated[int, msgspec.Meta(ge=-AMOUNT_MAX, le=AMOUNT_MAX)]
_Version = Annotated[int, msgspec.Meta(ge=1)]
_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Decimal = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?$", max_length=100)]


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    """A part of an amount on one lot."""

    lot_id: UUID
    amount_nano_usd: _Count


class _QuotaPart(msgspec.Struct, forbid_unknown_fields=True):
    """What a hold reserves on a quota."""

    quota_id: UUID
    begins: _Instant
    held: _Count


class _QuotaUse(_QuotaPart, forbid_unknown_fields=True):
    """What became of it."""

    used: _Count
    overrun: _Count


_SIMPLE: dict[Any, Any] = {
    int: _Count,
    str: _Text,
    LotPart: _Part,
    QuotaPart: _QuotaPart,
    QuotaUse: _QuotaUse,
}

_NAMED: dict[str, Any] = {
    "originator_id": UUID,
    "originator_version": _Version,
    "id": UUID,
    "account_id": UUID,
    "lot_id": UUID,
    "scope_id": UUID,
    "effective_at": _Instant,
    "expires_at": _Instant | None,
    "old_until": _Instant,
    "cost_exact_nano_usd": _Decimal,
}
"""Members whose name says more than their type does."""

_SIGNED = {(HouseLossBooked.TOPIC, "house_loss_nano_usd")}
"""A late outcome that cost less than what its expiry booked gives some of that back."""


def _bounded(hint: Any) -> Any:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return list[_bounded(arguments[0])]  # type: ignore[misc]
    if origin is dict:
        return dict[_bounded(arguments[0]), _bounded(arguments[1])]  # type: ignore[misc]
    if type(None) in arguments:
        (other,) = (each for each in arguments if each is not type(None))
        return _bounded(other) | None
    return hint


def _shape(cls: type[Event]) -> type[msgspec.Struct]:
    hints = get_type_hints(cls, localns={"UUID": UUID})
    members: list[Any] = []
    for each in fields(cls):
        bounded = _NAMED.get(each.name) or _bounded(hints[each.name])
        if type(None) in get_args(hints[each.name]):
            bounded |= None
        if (cls.TOPIC, each.name) in _SIGNED:
            bounded = _Signed
        if each.default is MISSING and each.default_factory is MISSING:
            members.append((each.name, bounded))
        else:
            members.append((each.name, bounded, msgspec.UNSET))
    return msgspec.defstruct(
        cls.__name__, members, kw_only=True, forbid_unknown_fields=True, gc=False
    )


SHAPES: Mapping[str, type[msgspec.Struct]] = {cls.TOPIC: _shape(cls) for cls in EVENT_CLASSES}

_ID = re.compile(rb'"id":"([^"]{36})"')


def decode_or_mark_checked(
    topic: str, state: bytes, originator_id: UUID, originator_version: int
) -> Event:
    """As `decode_or_mark`; an event whose shape cannot be comes back marked too."""
    return decode_or_mark(topic, state, originator_id, originator_version, _decode_checked)


def _decode_checked(
    topic: str, state: bytes, originator_id: UUID, originator_version: int
) -> Event:
    event = decode_event(topic, state, originator_id, originator_version)
    try:
        msgspec.convert(vars(event), SHAPES[event.TOPIC])
    except msgspec.ValidationError as error:
        message = f"{topic} of stream {originator_id} version {originator_version}: {error}"
        raise MapperDeserialisationError(message) from None
    # Ids are looked for in the stored text, so they must stand there where they seem to.
    found = _ID.search(state)
    if found is None or found[1] != event.id.encode():
        message = (
            f"{topic} of stream {originator_id} version {originator_version}: its id is hidden"
        )
        raise MapperDeserialisationError(message)
    return event
