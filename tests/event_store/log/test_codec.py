"""Rows to events: only what fits a present class, old types through their steps, shapes cached."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.persistence import MapperDeserialisationError, StoredEvent

from domain.events.all import EVENT_CLASSES
from domain.events.ledger import CreditsGranted, HoldSettled, HoldVoided
from domain.upcasters import UPCASTERS
from event_store.ids import new_uuid7
from event_store.log import codec
from event_store.log.aggregates import Aggregates
from event_store.log.codec import UnreadableEvent, decode_event, decode_or_mark
from event_store.log.reading import read_after
from tests.support import entries
from tests.support.history import insert_raw

if TYPE_CHECKING:
    from event_store.postgres.database import Database

STREAM = new_uuid7()
ACCOUNT = "00000000-0000-7000-8000-00000000000a"
ENVELOPE: dict[str, Any] = {
    "id": str(new_uuid7()),
    "effective_at": "2026-01-01T00:00:00.000000Z",
    "actor": "test",
    "correlation_id": "test",
}
GRANT = {
    **ENVELOPE,
    "account_id": ACCOUNT,
    "lot_id": "l",
    "kind": "trial",
    "priority": 10,
    "amount_nano_usd": 5,
}
VOID = {
    **ENVELOPE,
    "account_id": ACCOUNT,
    "held_nano_usd": 0,
    "settled_nano_usd": 0,
    "released_nano_usd": 0,
    "breakage_nano_usd": 0,
    "house_loss_nano_usd": 0,
    "lots": [],
}


@pytest.fixture
def shapes(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """An empty cache of shapes for the test."""
    empty: dict[Any, Any] = {}
    monkeypatch.setattr(codec, "_SHAPES", empty)
    return empty


def decode(topic: str, members: dict[str, Any]) -> Any:
    """An event of the one stream."""
    return decode_event(topic, json.dumps(members).encode(), STREAM, 3)


def test_a_row_becomes_its_event() -> None:
    """Members, stream and version, with the class's defaults for what is absent (P5)."""
    event = decode(CreditsGranted.TOPIC, GRANT)
    assert type(event) is CreditsGranted
    assert (event.originator_id, event.originator_version) == (STREAM, 3)
    assert (event.amount_nano_usd, event.expires_at, event.reason) == (5, None, "")
    assert event == CreditsGranted(originator_id=STREAM, originator_version=3, **GRANT)


@pytest.mark.parametrize("cls", EVENT_CLASSES, ids=lambda cls: cls.TOPIC)
def test_each_class_asks_for_its_own_members(cls: type[Any], shapes: dict[Any, Any]) -> None:
    """The least row of each type is read as the constructor would make it (P5)."""
    needed = {
        item.name: "x"
        for item in fields(cls)
        if item.default is MISSING
        and item.default_factory is MISSING
        and not item.name.startswith("originator_")
    }
    event = decode(cls.TOPIC, needed)
    assert event == cls(originator_id=STREAM, originator_version=3, **needed)
    for name in needed:
        with pytest.raises(MapperDeserialisationError, match=name):
            decode(cls.TOPIC, {key: value for key, value in needed.items() if key != name})


def test_defaults_are_not_shared_between_events() -> None:
    """A list that an event lacked is its own, also once its shape is known (P5)."""
    first, second = decode(HoldVoided.TOPIC, VOID), decode(HoldVoided.TOPIC, VOID)
    assert first.attempts == second.attempts == []
    assert first.attempts is not second.attempts


def test_an_unknown_topic_is_an_error_that_names_the_row() -> None:
    """Never a guess: type, stream and version are in the message (P10)."""
    with pytest.raises(MapperDeserialisationError, match=f"x.y.v1 of stream {STREAM} version 3"):
        decode("x.y.v1", GRANT)


@pytest.mark.parametrize(
    ("members", "named"),
    [
        ({**GRANT, "colour": "red"}, "colour"),
        ({name: value for name, value in GRANT.items() if name != "kind"}, "kind"),
        ({}, "amount_nano_usd"),
    ],
)
def test_unknown_and_missing_members_are_named(members: dict[str, Any], named: str) -> None:
    """A row of a newer or a broken writer is refused by name (P10)."""
    for _ in range(2):  # The refusal is not remembered as a known shape.
        with pytest.raises(MapperDeserialisationError, match=named):
            decode(CreditsGranted.TOPIC, members)


@pytest.mark.parametrize("state", [b"", b"{", b"[1]", b"null", b'"text"', b'{"id":'])
def test_what_is_no_object_is_an_error(state: bytes) -> None:
    """Torn or foreign bytes are refused (P10)."""
    with pytest.raises(MapperDeserialisationError, match=CreditsGranted.TOPIC):
        decode_event(CreditsGranted.TOPIC, state, STREAM, 1)


def test_an_old_type_is_read_as_the_present_one() -> None:
    """Each step of the upcasters ends at a class there is, and fills what it must (P5)."""
    for topic, (following, _) in UPCASTERS.items():
        assert topic not in codec.CLASSES
        assert following in codec.CLASSES or following in UPCASTERS
    old = {name: value for name, value in GRANT.items() if name != "priority"}
    event = decode("ledger.credits_granted.v1", old)
    assert event == decode(CreditsGranted.TOPIC, GRANT)
    with pytest.raises(MapperDeserialisationError, match="kind"):
        decode(
            "ledger.credits_granted.v1",
            {name: value for name, value in old.items() if name != "kind"},
        )


def test_an_unreadable_event_can_come_marked() -> None:
    """Its type, its place and what is wrong, so that a reader may park it (P7)."""
    state = json.dumps({**GRANT, "colour": "red"}, separators=(",", ":")).encode()
    event = decode_or_mark(CreditsGranted.TOPIC, state, STREAM, 9)
    assert isinstance(event, UnreadableEvent)
    assert event.TOPIC == CreditsGranted.TOPIC
    assert (event.originator_id, event.originator_version) == (STREAM, 9)
    assert "colour" in event.error
    unknown_kind = json.dumps({**GRANT, "kind": "gift"}).encode()
    old = decode_or_mark("ledger.credits_granted.v1", unknown_kind, STREAM, 1)
    assert isinstance(old, UnreadableEvent)
    assert "gift" in old.error


def test_a_readable_event_is_not_marked() -> None:
    """Both ways of reading give the same event (P8)."""
    state = json.dumps(GRANT).encode()
    assert decode_or_mark(CreditsGranted.TOPIC, state, STREAM, 3) == decode(
        CreditsGranted.TOPIC, GRANT
    )


def test_each_shape_is_checked_once(shapes: dict[Any, Any]) -> None:
    """The order of members is part of a shape; refused ones take no place (rule: bounded)."""
    decode(CreditsGranted.TOPIC, GRANT)
    decode(CreditsGranted.TOPIC, {**GRANT, "kind": "bonus"})
    assert len(shapes) == 1
    decode(CreditsGranted.TOPIC, dict(reversed(GRANT.items())))
    assert len(shapes) == 2
    with pytest.raises(MapperDeserialisationError):
        decode(CreditsGranted.TOPIC, {**GRANT, "colour": "red"})
    assert len(shapes) == 2


def test_the_cache_of_shapes_has_a_limit(
    shapes: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond it shapes are checked each time, and read the same (rule: bounded)."""
    monkeypatch.setattr(codec, "SHAPES_MAX", 1)
    decode(CreditsGranted.TOPIC, GRANT)
    other = {**GRANT, "reason": "because"}
    assert decode(CreditsGranted.TOPIC, other).reason == "because"
    assert decode(CreditsGranted.TOPIC, other).reason == "because"
    assert len(shapes) == 1
    with pytest.raises(MapperDeserialisationError, match="colour"):
        decode(CreditsGranted.TOPIC, {**GRANT, "colour": "red"})


def test_the_library_reads_through_the_same_steps(database: Database) -> None:
    """Its mapper and the log's readers give one event, upcast (rule: contract)."""
    state = entries.state(account_id=ACCOUNT, lot_id="l", kind="trial", amount_nano_usd=5) + b"}"
    position = insert_raw(database, "ledger.credits_granted.v1", json.loads(state))
    with database.connect() as connection:
        (entry,) = read_after(connection, position - 1)
    aggregates = Aggregates(database)
    try:
        (event,) = aggregates.events_of(entry.event.originator_id)
        assert event == entry.event
        with pytest.raises(MapperDeserialisationError):
            aggregates.mapper.to_domain_event(StoredEvent(STREAM, 1, HoldSettled.TOPIC, b"{}"))
    finally:
        aggregates.close()
