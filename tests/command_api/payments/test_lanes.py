"""What Stripe told is handled side by side where it is about different things, else in order."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from command_api.identity.vault import Vault
from command_api.money.grants import running_committer
from command_api.payments import inbox, worker
from command_api.payments.handling import Part, lanes_of, marks_of
from command_api.payments.inbox import Inbox, counts
from command_api.payments.worker import PaymentWork
from providers.payments.told import notice_of, read_notice

if TYPE_CHECKING:
    from collections.abc import Mapping

    from event_store.postgres.database import Database
    from providers.payments.told import Notice

SECRET = b"a secret of tests, of 32 bytes.."
OBJECTS, EACH = 12, 6
WAIT_S = 30.0


def told(number: int, name: str, at: int, **members: Any) -> dict[str, Any]:
    """An event about an object."""
    thing = {"object": "refund", "id": name, "status": "new", **members}
    event = {"id": f"evt_{number:04}", "object": "event", "type": "odd", "created": at}
    return {**event, "data": {"object": thing}}


class Room:
    """A handler that takes its time, and notes who is there together and in which order."""

    kinds = frozenset({"refund"})

    def __init__(self) -> None:
        self.order: dict[str, list[str]] = defaultdict(list)
        self.there: set[str] = set()
        self.most = 0
        self.dies_at = ""
        self.defects = 0

    async def handle(self, notice: Notice, thing: Mapping[str, Any], _: int) -> bool:
        """Note it."""
        name = str(thing["id"])
        assert name not in self.there, "two of one object at once"
        self.there.add(name)
        self.most = max(self.most, len(self.there))
        try:
            await asyncio.sleep(random.uniform(0, 0.02))
            if notice.id == self.dies_at:
                raise asyncio.CancelledError
            self.order[name].append(notice.id)
        finally:
            self.there.discard(name)
        return True


def fill(database: Database, vault: Vault) -> dict[str, list[str]]:
    """Events of many objects, kept in any order; those of each object as they happened."""
    book, kept, expected = Inbox(vault), list[bytes](), defaultdict(list)
    for number in range(OBJECTS * EACH):
        name = f"re_{number % OBJECTS}"
        expected[name].append(f"evt_{number:04}")
        kept.append(msgspec.json.encode(told(number, name, 1_700_000_000 + number // 5)))
    random.Random(5).shuffle(kept)
    with database.connect() as connection:
        for body in kept:
            assert book.keep(connection, read_notice(body), body, "webhook")
    return dict(expected)


def drain(database: Database, vault: Vault, room: Room) -> None:
    """Until nothing waits, or the work ends by itself."""
    stop = threading.Event()
    work = PaymentWork(database, vault, None, [Part((), lambda _: room)], rates={}, poll_s=3_600)

    async def watch() -> None:
        with database.connect() as connection:
            while (await asyncio.to_thread(counts, connection))[0]:
                await asyncio.sleep(0.02)
        stop.set()

    async def run() -> None:
        async with running_committer(database) as committer, asyncio.timeout(WAIT_S):
            watching = asyncio.create_task(watch())
            try:
                await work.keep_working(committer, stop)
            finally:
                watching.cancel()

    asyncio.run(run())


@pytest.mark.parametrize("lanes", [1, 8])
def test_each_objects_events_are_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch, lanes: int
) -> None:
    """Side by side with those of others, a bounded number at once (P3, rule: bounded)."""
    monkeypatch.setattr(worker, "LANES_MAX", lanes)
    vault, room = Vault(SECRET), Room()
    expected = fill(database, vault)
    drain(database, vault, room)
    assert dict(room.order) == expected
    assert room.most == 1 if lanes == 1 else 1 < room.most <= lanes


def test_who_dies_leaves_the_rest_in_order(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of a batch: the next process handles what is left, each once (P2, P3)."""
    monkeypatch.setattr(inbox, "LEASE_S", 1)
    monkeypatch.setattr(worker, "AT_ONCE", 20)
    vault, room = Vault(SECRET), Room()
    expected = fill(database, vault)
    room.dies_at = "evt_0031"
    with pytest.raises(BaseException):  # noqa: B017, PT011 - a group, or cancelled
        drain(database, vault, room)
    assert sum(map(len, room.order.values())) < OBJECTS * EACH
    with database.connect() as connection:
        assert counts(connection)[0] > 0
    room.dies_at = ""
    drain(database, vault, room)
    # What was being ended when the process died is handled again, before what comes behind it.
    for name, seen in room.order.items():
        assert list(dict.fromkeys(seen)) == expected[name], seen


def test_what_has_something_in_common_is_one_lane() -> None:
    """The object, or a payment or customer that both name, also by way of a third (P3)."""
    events = [
        told(1, "re_1", 1),
        told(2, "re_2", 2, customer="cus_1"),
        told(3, "re_3", 3, customer="cus_2", charge="ch_1"),
        told(4, "re_1", 4),
        told(5, "re_4", 5, customer="cus_1", charge="ch_1"),
        told(6, "re_5", 6, metadata={"gatewayz_payment": 7}, customer=5, charge=""),
    ]
    marked: list[Any] = [(each["id"], marks_of(notice_of(each))) for each in events]
    lanes = sorted(lanes_of(marked))
    assert lanes == [  # type: ignore[comparison-overlap]
        ["evt_0001", "evt_0004"],
        ["evt_0002", "evt_0003", "evt_0005"],
        ["evt_0006"],
    ]
    assert lanes_of([]) == []


def test_two_processes_never_have_one_object(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one took keeps back what comes behind it, until it ends or is put off (P3)."""
    fill(database, Vault(SECRET))
    monkeypatch.setattr(inbox, "LEASE_S", 600)
    with database.connect() as one, database.connect() as other:
        first = inbox.lease(one, 4)
        assert [each.event_id for each in first] == [f"evt_{number:04}" for number in range(4)]
        rest = {each.event_id for each in inbox.lease(other, 100)}
        behind = {f"evt_{number:04}" for number in range(OBJECTS * EACH) if number % OBJECTS < 4}
        assert rest == {f"evt_{number:04}" for number in range(OBJECTS * EACH)} - behind
        assert inbox.lease(other, 100) == []
        inbox.end(one, first[0], inbox.DONE)
        inbox.later(one, first[1], 600, "away")
        freed = {int(each.event_id[4:]) % OBJECTS for each in inbox.lease(other, 100)}
        assert freed == {0, 1}
