"""What is written for nothing is small: refusals, and grants asked for again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from domain.events.ledger import HoldRefused
from domain.ledger.amounts import GRANT_NANO_USD_MAX
from domain.pricing.money import ENTRY_NANO_USD_MAX
from event_store.append.entries import AppendCode, Entry
from event_store.ids import new_uuid7
from event_store.log.reading import read_after
from projections.hosting.verify import verify
from tests.event_store.append.test_append import append
from tests.support import entries

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
REFUSED_BYTES_MAX = 400
KEY, OTHER_BODY = b"k" * 32 + b"d" * 32, b"k" * 32 + b"e" * 32


def wordy(entry: Entry) -> Entry:
    """A hold with all that a gateway writes, by a key's actor."""
    actor = f"api_key:{new_uuid7()}".encode()
    state = entry.state.replace(b'"actor":"test"', b'"actor":"%b"' % actor)
    more = {"alternatives": [{"provider": "p" * 40, "model": "m" * 200}] * 8}
    return msgspec.structs.replace(entry, state=state + b"," + msgspec.json.encode(more)[1:-1])


def states(database: Database, topic: str) -> list[bytes]:
    """The events of a type, as they lie in the table."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT state FROM events WHERE topic LIKE %s ORDER BY notification_id", [topic]
        ).fetchall()
    return [bytes(state) for (state,) in rows]


def test_a_refusal_without_a_key_leaves_no_event(database: Database) -> None:
    """Alone and in a batch: nobody can make the log grow for nothing (rule: bounded)."""
    append(database, entries.grant(ACCOUNT, 5))
    for count in (1, 5):
        batch = [wordy(entries.hold(new_uuid7(), ACCOUNT, 6)) for _ in range(count)]
        answers = append(database, *batch)
        assert {each.code for each in answers} == {AppendCode.INSUFFICIENT_CREDITS}
    assert verify(database).events == 1


def test_a_refusal_with_a_key_leaves_one_small_event(database: Database) -> None:
    """What the key needs to stay refused, whatever was asked (P3, rule: bounded)."""
    grants = [entries.grant(ACCOUNT, GRANT_NANO_USD_MAX) for _ in range(100)]
    append(database, *grants)
    spent = GRANT_NANO_USD_MAX * 100
    while spent >= ENTRY_NANO_USD_MAX:
        count = min(400, spent // ENTRY_NANO_USD_MAX)
        spent -= count * ENTRY_NANO_USD_MAX
        append(
            database,
            *[entries.hold(new_uuid7(), ACCOUNT, ENTRY_NANO_USD_MAX) for _ in range(count)],
        )
    hold = wordy(entries.hold(new_uuid7(), ACCOUNT, ENTRY_NANO_USD_MAX, key=KEY))
    assert append(database, hold)[0].code == AppendCode.INSUFFICIENT_CREDITS
    again = entries.hold(new_uuid7(), ACCOUNT, 1, key=KEY)
    assert append(database, again)[0].code == AppendCode.IDEMPOTENCY_REFUSED
    other = entries.hold(new_uuid7(), ACCOUNT, 1, key=OTHER_BODY)
    assert append(database, other)[0].code == AppendCode.IDEMPOTENCY_KEY_REUSED
    (refused,) = states(database, "%.hold_refused.%")
    assert len(refused) + 20 <= REFUSED_BYTES_MAX  # An available amount has 19 digits at most.
    assert verify(database).differences == []


def test_a_refusal_of_the_first_version_is_read_as_the_second(database: Database) -> None:
    """It names the same key, and what it said of the model is kept (P5, P8)."""
    hold = entries.hold(new_uuid7(), ACCOUNT, 7, key=KEY)
    state: dict[str, Any] = msgspec.json.decode(hold.state + b"}")
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO events (originator_id, originator_version, topic, state) "
            "VALUES (%s, 1, 'ledger.hold_refused.v1', %s)",
            [new_uuid7(), msgspec.json.encode({**state, "available_nano_usd": 3})],
        )
        event = read_after(connection, 0)[0].event
    assert isinstance(event, HoldRefused)
    assert event.key == (KEY[:32].hex(), KEY[32:].hex())
    assert (event.amount_nano_usd, event.available_nano_usd, event.model) == (7, 3, "-")
    assert event.correlation_id == "test"


def test_a_grant_again_is_the_same_grant(database: Database) -> None:
    """Another amount, kind, end or account under its lot is refused (P3)."""
    lot, end = new_uuid7(), "2999-01-01T00:00:00.000000Z"
    given: dict[str, Any] = {"lot": lot, "kind": "bonus", "expires_at": end}
    append(database, entries.grant(ACCOUNT, 5, **given))
    assert append(database, entries.grant(ACCOUNT, 5, **given))[0].code == AppendCode.DUPLICATE
    others = [
        entries.grant(ACCOUNT, 6, **given),
        entries.grant(ACCOUNT, 5, **{**given, "kind": "purchase"}),
        entries.grant(ACCOUNT, 5, **{**given, "expires_at": None}),
    ]
    for other in others:
        assert append(database, other)[0] == (AppendCode.IDEMPOTENCY_KEY_REUSED, 5)
    elsewhere = entries.grant(new_uuid7(), 5, **given)
    assert append(database, elsewhere)[0] == (AppendCode.IDEMPOTENCY_KEY_REUSED, 0)
    assert verify(database).granted_nano_usd == 5
