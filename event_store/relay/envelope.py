"""Events as they travel: CloudEvents 1.0 in JSON (structured mode), with their place in the log.

Besides the attributes of the specification each message has extension attributes: `position` in
the log, `previousposition` (that of the event before it in the same partition, 0 for the first),
`streamversion`, and `partitionkey` (CloudEvents partitioning extension). Positions are strings,
since an Integer of CloudEvents has 32 bits. `data` is the event exactly as it is stored.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from domain.upcasters import UPCASTERS, upcast
from event_store.ids import to_iso
from event_store.log.codec import CLASSES, decode_or_mark
from event_store.log.reading import LogEntry

if TYPE_CHECKING:
    from collections.abc import Sequence

SOURCE = "/gatewayz/ledger"
HEARTBEAT = "gatewayz.heartbeat.v1"
"""A message without an event: its partition has no event up to `position` beyond `previous`."""
SCHEMA_URN = "urn:gatewayz:event:"
UNKNOWN_CATEGORY = "unknown"
UUID_CHARACTERS = 36

_CATEGORIES = {topic: cls.CATEGORY for topic, cls in CLASSES.items()}


class EnvelopeError(ValueError):
    """A message is not one of ours; says what is wrong with it."""


class Message(NamedTuple):
    """What a message says: a place in a partition, and the event at it (none in a heartbeat)."""

    previous: int
    position: int
    entry: LogEntry | None


class _Id(msgspec.Struct):
    id: str = ""


class _Envelope(msgspec.Struct):
    type: str
    position: str
    previousposition: str
    subject: str = ""
    time: str = ""
    streamversion: int = 0
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: str = ""


_decode_id = msgspec.json.Decoder(_Id).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def encode_event(row: Sequence[Any], *, key: str, previous: int) -> bytes:
    """The message for one stored row (as `read_rows_after` gives it).

    Old types are brought to their present form, so that consumers know only the newest.
    """
    position, booked_at, topic, stored, stream, version = row
    state = bytes(stored)
    if topic in UPCASTERS:
        topic, members = upcast(topic, msgspec.json.decode(state))
        state = msgspec.json.encode(members)
    try:
        event_id = _decode_id(state).id
        data = b'"data":' + state
    except msgspec.DecodeError:
        # Not an event of ours; it travels as it is, and stops those whom it concerns.
        event_id = ""
        data = b'"data_base64":"' + base64.b64encode(state) + b'"'
    return (
        b'{"specversion":"1.0","id":%b,"source":"%b","type":%b,"subject":"%b-%b","time":"%b",'
        b'"datacontenttype":"application/json","dataschema":%b,"partitionkey":"%b",'
        b'"position":"%d","previousposition":"%d","streamversion":%d,%b}'
        % (
            msgspec.json.encode(event_id or f"position-{position}"),
            SOURCE.encode(),
            msgspec.json.encode(topic),
            _CATEGORIES.get(topic, UNKNOWN_CATEGORY).encode(),
            str(stream).encode(),
            to_iso(booked_at).encode(),
            msgspec.json.encode(SCHEMA_URN + topic),
            key.encode(),
            position,
            previous,
            version,
            data,
        )
    )


def encode_heartbeat(partition: int, *, position: int, previous: int) -> bytes:
    """The message that says how far a partition without new events has come."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"heartbeat-{partition}-{position}",
            "source": SOURCE,
            "type": HEARTBEAT,
            "position": str(position),
            "previousposition": str(previous),
        }
    )


def decode_message(value: bytes) -> Message:
    """Read a message; an event that fits no present class comes marked.

    Raises EnvelopeError for what is no message of the relay at all.
    """
    try:
        envelope = _decode_envelope(value)
        position, previous = int(envelope.position), int(envelope.previousposition)
        if envelope.type == HEARTBEAT:
            return Message(previous, position, None)
        state = bytes(envelope.data) or base64.b64decode(envelope.data_base64)
        stream = UUID(envelope.subject[-UUID_CHARACTERS:])
        booked_at = datetime.fromisoformat(envelope.time).astimezone(UTC)
    except (msgspec.MsgspecError, ValueError) as error:
        message = f"not a message of the relay ({error}): {value[:200]!r}"
        raise EnvelopeError(message) from error
    event = decode_or_mark(envelope.type, state, stream, envelope.streamversion)
    return Message(previous, position, LogEntry(position, booked_at, event))
