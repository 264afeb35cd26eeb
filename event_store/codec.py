"""Between stored rows and domain events, through the library's mapper.

The topic of a row is the event's wire type, the state is plain JSON. Old types are upcast on
reading (`domain.upcasters`); a row that fits no present class is an error, never a guess.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from eventsourcing.persistence import Mapper, MapperDeserialisationError
from eventsourcing.utils import register_topic

from domain.events import EVENT_CLASSES, Event
from domain.upcasters import UPCASTERS, upcast

if TYPE_CHECKING:
    from uuid import UUID

    from eventsourcing.domain import DomainEventProtocol
    from eventsourcing.persistence import StoredEvent

CLASSES: dict[str, type[Event]] = {cls.TOPIC: cls for cls in EVENT_CLASSES}
for _topic, _cls in CLASSES.items():
    register_topic(_topic, _cls)

_decode_state = msgspec.json.Decoder(dict[str, Any]).decode


def decode_event(topic: str, state: bytes, originator_id: UUID, originator_version: int) -> Event:
    """One row as an event of its present type; raises MapperDeserialisationError."""
    try:
        fields = _decode_state(state)
        if topic in UPCASTERS:
            topic, fields = upcast(topic, fields)
        return CLASSES[topic](
            originator_id=originator_id, originator_version=originator_version, **fields
        )
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        message = f"{topic} of stream {originator_id} version {originator_version}: {error!r}"
        raise MapperDeserialisationError(message) from error


class LedgerMapper(Mapper["UUID"]):
    """The library's mapper, reading through our upcasters and checked constructors."""

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[UUID]:
        """Decode one stored event."""
        return decode_event(
            stored_event.topic,
            bytes(stored_event.state),
            stored_event.originator_id,  # type: ignore[arg-type]  our streams have UUID ids
            stored_event.originator_version,
        )
