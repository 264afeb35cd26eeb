"""Between stored rows and domain events, through the library's mapper.

The topic of a row is the event's wire type, the state is plain JSON. Old types are upcast on
reading (`domain.upcasters`); a row that fits no present class is an error, never a guess.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, cast

import msgspec
from eventsourcing.persistence import Mapper, MapperDeserialisationError
from eventsourcing.utils import register_topic

from domain.events.all import EVENT_CLASSES
from domain.events.base import Event
from domain.upcasters import UPCASTERS, upcast

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet
    from uuid import UUID

    from eventsourcing.domain import DomainEventProtocol
    from eventsourcing.persistence import StoredEvent

    Decode = Callable[[str, bytes, UUID, int], Event]

CLASSES: dict[str, type[Event]] = {cls.TOPIC: cls for cls in EVENT_CLASSES}
for _topic, _cls in CLASSES.items():
    register_topic(_topic, _cls)

_decode_state = msgspec.json.Decoder(dict[str, Any]).decode

Defaults = tuple[tuple[str, "Callable[[], Any]"], ...]
Shape = tuple[str, ...]
SHAPES_MAX = 10_000

_SHAPES: dict[Shape, Defaults] = {}
_STREAM_FIELDS = {"originator_id", "originator_version"}
_KNOWN: dict[str, frozenset[str]] = {}
_REQUIRED: dict[str, frozenset[str]] = {}
_FACTORIES: dict[str, tuple[tuple[str, Callable[[], Any]], ...]] = {}
for _topic, _cls in CLASSES.items():
    _fields = [item for item in fields(_cls) if item.name not in _STREAM_FIELDS]
    _KNOWN[_topic] = frozenset(item.name for item in _fields)
    _REQUIRED[_topic] = frozenset(
        item.name for item in _fields if item.default is MISSING and item.default_factory is MISSING
    )
    _FACTORIES[_topic] = tuple(
        (item.name, item.default_factory) for item in _fields if item.default_factory is not MISSING
    )


class UnreadableEvent(Event):
    """A stored event that no present class fits; `error` says why. Never appended."""

    CATEGORY = "unreadable"
    error: str


def decode_or_mark(
    topic: str,
    state: bytes,
    originator_id: UUID,
    originator_version: int,
    decode: Decode | None = None,
) -> Event:
    """As `decode_event`, but an event that cannot be read comes back marked, under its type."""
    try:
        return (decode or decode_event)(topic, state, originator_id, originator_version)
    except Exception as error:  # noqa: BLE001  whatever is odd in a row is told of that row
        event = object.__new__(UnreadableEvent)
        members = {
            "TOPIC": topic,
            "error": str(error),
            "originator_id": originator_id,
            "originator_version": originator_version,
        }
        object.__setattr__(event, "__dict__", members)
        return event


def decode_event(topic: str, state: bytes, originator_id: UUID, originator_version: int) -> Event:
    """One row as an event of its present type; raises MapperDeserialisationError."""
    try:
        members = _decode_state(state)
        if topic in UPCASTERS:
            topic, members = upcast(topic, members)
        shape = (topic, *members)
        missing = _SHAPES.get(shape)
        if missing is None:
            missing = _check_shape(topic, members.keys(), shape)
    except (KeyError, msgspec.DecodeError) as error:
        message = f"{topic} of stream {originator_id} version {originator_version}: {error!r}"
        raise MapperDeserialisationError(message) from error
    for name, factory in missing:
        members[name] = factory()
    members["originator_id"] = originator_id
    members["originator_version"] = originator_version
    # A frozen dataclass is filled as the library's mapper does it: its own constructor sets
    # twenty members one by one, which would be most of the cost of reading the log.
    event = object.__new__(CLASSES[topic])
    object.__setattr__(event, "__dict__", members)
    return event


def _check_shape(topic: str, names: AbstractSet[str], shape: Shape) -> Defaults:
    """The defaults that members of this shape lack; raises KeyError naming what is odd.

    Events come in few shapes, so each is checked once.
    """
    if not (_REQUIRED[topic] <= names <= _KNOWN[topic]):
        odd = (_REQUIRED[topic] - names) | (names - _KNOWN[topic])
        raise KeyError(*sorted(odd))
    missing = tuple(item for item in _FACTORIES[topic] if item[0] not in names)
    if len(_SHAPES) < SHAPES_MAX:
        _SHAPES[shape] = missing
    return missing


class LedgerMapper(Mapper["UUID"]):
    """The library's mapper, reading through our upcasters and checked constructors."""

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Decode one stored event."""
        return decode_event(
            stored_event.topic,
            bytes(stored_event.state),
            cast("UUID", stored_event.originator_id),
            stored_event.originator_version,
        )
