"""A mail that was asked for goes out, whoever dies; once, while nobody dies."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import pytest

from command_api.composition import vault_of
from command_api.identity.people import People
from command_api.identity.users import Users
from command_api.mails import outbox as module
from command_api.mails.outbox import Outbox
from command_api.mails.waiting import OF_USER_MAX, WAITING_MAX
from command_api.settings import Settings
from event_store.ids import new_uuid7
from providers.mail.port import Mail, MailRefusedError, MailUnavailableError
from tests.support.harness import eventually
from tests.support.history import SECRET
from tests.support.people import PASSWORD, Person

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway


class Carrier:
    """Takes mails, or does what it is told with them."""

    def __init__(self, fail: Callable[[int], Exception | None] = lambda _: None) -> None:
        self.fail, self.tried, self.sent = fail, 0, list[Mail]()
        self.hold = threading.Event()
        self.hold.set()

    async def send(self, mail: Mail) -> None:
        """Hand one over."""
        self.tried += 1
        error = self.fail(self.tried)
        if error is not None:
            raise error
        while not self.hold.is_set():
            await asyncio.sleep(0.01)
        self.sent.append(mail)

    async def close(self) -> None:
        """Nothing."""


@contextmanager
def outboxes(
    house: House, *carriers: Carrier, waits_s: tuple[float, ...] = (0.05,)
) -> Iterator[list[Outbox]]:
    """An outbox for each carrier, as processes of their own have them."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(20)

    async def started(each: Outbox) -> None:
        each.start()

    everybody, made = [], []
    for carrier in carriers:
        people = People(house.database, vault_of(house.settings, house.database))
        people.open()
        everybody.append(people)
        made.append(Outbox(people, carrier, waits_s))
        run(started(made[-1]))
    try:
        yield made
    finally:
        for each in made:
            run(each.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        for people in everybody:
            people.close()


class House(NamedTuple):
    """A database and its secret, without a process that sends mails."""

    database: Database
    settings: Settings


@pytest.fixture
def house(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """With outboxes that look often."""
    monkeypatch.setattr(module, "POLL_S", 0.05)
    return House(database, Settings(home=tmp_path, secret_key=SECRET.decode()))


@pytest.fixture
def user(house: House) -> UUID:
    """Somebody."""
    users = Users(house.database, vault_of(house.settings, house.database), actor="test")
    try:
        return UUID(users.create_user("ann@example.com").user_id)
    finally:
        users.close()


def waiting(house: House | RunningGateway) -> int:
    """How many mails wait."""
    with house.database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM mail_outbox").fetchone()
    assert row is not None
    return int(row[0])


def put(house: House, user: UUID, outbox: Outbox, *subjects: str) -> None:
    """Keep mails to a user."""
    with house.database.connect() as connection:
        known = outbox._people.credentials.by_id(connection, user)
        assert known is not None
        for each in subjects:
            mail = Mail("ann@example.com", each, "Text with a s3cret in it")
            outbox.waiting.keep(connection, user, known.wrapped_key, mail)


def make_due(house: House, age: str = "0") -> None:
    """All that waits is due, and of this age."""
    with house.database.connect() as connection:
        connection.execute(
            "UPDATE mail_outbox SET due_at = clock_timestamp(), made_at = made_at - %s::interval",
            [age],
        )


def test_what_one_process_leaves_another_hands_over(house: House, user: UUID) -> None:
    """Mails and wishes for mails wait encrypted until somebody is there (P12)."""
    people = People(house.database, vault_of(house.settings, house.database))
    people.open()
    put(house, user, Outbox(people, Carrier()), "One", "Two")
    people.close()
    with house.database.connect() as connection:
        stored = str(connection.execute("SELECT t::text FROM mail_outbox t").fetchall())
    for secret in (b"s3cret", b"ann@example.com", b"One"):
        assert secret.decode() not in stored
        assert secret.hex() not in stored
    carrier = Carrier()
    with outboxes(house, carrier) as (outbox,):
        eventually(lambda: waiting(house) == 0)
        assert sorted(each.subject for each in carrier.sent) == ["One", "Two"]
        assert outbox.ended == {"sent": 2}


def test_two_processes_hand_each_mail_over_once(house: House, user: UUID) -> None:
    """Who takes one leases it (rule: bounded)."""
    carriers = (Carrier(), Carrier())
    subjects = [f"Mail {number}" for number in range(OF_USER_MAX)]
    with outboxes(house, *carriers) as made:
        put(house, user, made[0], *subjects)
        eventually(lambda: waiting(house) == 0)
    sent = [each.subject for carrier in carriers for each in carrier.sent]
    assert sorted(sent) == sorted(subjects)


def test_a_mail_that_a_process_dies_with_is_sent_by_another(house: House, user: UUID) -> None:
    """When its lease is over, not before (P12)."""
    dying, other = Carrier(), Carrier()
    dying.hold.clear()
    with outboxes(house, dying) as (outbox,):
        put(house, user, outbox, "One")
        eventually(lambda: dying.tried == 1)
    with outboxes(house, other):
        time.sleep(0.5)
        assert other.tried == 0
        make_due(house)
        eventually(lambda: waiting(house) == 0)
    assert [each.subject for each in other.sent] == ["One"]


def test_a_mail_is_tried_again_and_given_up_after_a_day(house: House, user: UUID) -> None:
    """What is refused is not tried again; what is over is counted (rule: bounded)."""
    away = Carrier(lambda tried: MailUnavailableError("away") if tried < 4 else None)
    with outboxes(house, away) as (outbox,):
        put(house, user, outbox, "One")
        eventually(lambda: waiting(house) == 0)
        assert (away.tried, outbox.ended) == (4, {"sent": 1})
    refusing = Carrier(lambda _: MailRefusedError("no"))
    with outboxes(house, refusing) as (outbox,):
        put(house, user, outbox, "One")
        eventually(lambda: waiting(house) == 0)
        assert (refusing.tried, outbox.ended) == (1, {"refused": 1})
    never = Carrier(lambda _: MailUnavailableError("away"))
    with outboxes(house, never, waits_s=(0.05, 3_600)) as (outbox,):
        put(house, user, outbox, "One")
        eventually(lambda: never.tried == 2)
        time.sleep(0.3)
        assert never.tried == 2, "the waits grow"
        make_due(house, "1 day")
        eventually(lambda: waiting(house) == 0)
        assert (never.tried, outbox.ended) == (2, {"given_up": 1})


def test_so_many_mails_wait_and_no_more(house: House, user: UUID) -> None:
    """Of a user, and in all; an unreadable one goes (rule: bounded)."""
    with outboxes(house, Carrier(lambda _: MailUnavailableError("away")), waits_s=(60,)) as made:
        put(house, user, made[0], *map(str, range(OF_USER_MAX + 5)))
        assert waiting(house) == OF_USER_MAX
    with house.database.connect() as connection:
        connection.execute("DELETE FROM mail_outbox")
        connection.execute(
            "INSERT INTO mail_outbox (mail_id, kind, sealed, due_at) SELECT gen_random_uuid(), "
            "'reset', 'x', 'infinity' FROM generate_series(1, %s)",
            [WAITING_MAX],
        )
    people = People(house.database, vault_of(house.settings, house.database))
    people.open()
    outbox = Outbox(people, Carrier())
    put(house, user, outbox, "One")
    with people.connect() as connection:
        outbox.waiting.ask(connection, "reset", "ann@example.com")
    people.close()
    assert waiting(house) == WAITING_MAX
    with house.database.connect() as connection:
        connection.execute(
            "DELETE FROM mail_outbox WHERE mail_id NOT IN (SELECT mail_id FROM mail_outbox LIMIT 3)"
        )
        connection.execute(
            "INSERT INTO mail_outbox (mail_id, user_id, kind, sealed) VALUES (%s, %s, 'mail', 'x')",
            [new_uuid7(), user],
        )
    make_due(house)
    carrier = Carrier()
    with outboxes(house, carrier):
        eventually(lambda: waiting(house) == 0)
    assert carrier.tried == 0


def test_who_left_gets_no_mail_any_more(house: House, user: UUID) -> None:
    """Nor is one kept for them afterwards (P5)."""
    people = People(house.database, vault_of(house.settings, house.database))
    people.open()
    outbox = Outbox(people, Carrier())
    with people.connect() as connection:
        known = people.known(connection, user)
    put(house, user, outbox, "One")
    with house.database.connect() as connection:
        connection.execute("UPDATE user_secret SET wrapped_key = NULL WHERE user_id = %s", [user])
        connection.execute("DELETE FROM mail_outbox")
        outbox.waiting.keep(connection, user, known.wrapped_key, Mail("a@example.com", "x", "y"))
        outbox.waiting.wish(connection, user, "verify")
    people.close()
    assert waiting(house) == 0


def test_a_reset_waits_like_for_somebody_who_is_not_known(gateway: RunningGateway) -> None:
    """One row each, until its turn comes; the address is in neither (rule: access, P5)."""
    ann = Person(gateway)
    with closing(ann.client):
        ann.register()
        ann.token("Verify")
        for address in (ann.address, "nobody@example.com"):
            ann.client.post("/auth/password-reset", params={"email": address})
        ann.token("new password")
        eventually(lambda: waiting(gateway) == 0)


def test_the_old_address_is_told_of_the_new_one(gateway: RunningGateway) -> None:
    """Whoever took the account cannot hide it (rule: access)."""
    ann = Person(gateway)
    with closing(ann.client):
        ann.register()
        ann.login(password=PASSWORD)
        assert ann.client.put("/user/profile", json={"email": "new@example.com"}).status_code == 200
        eventually(lambda: any("address was changed" in each["subject"] for each in ann.mails()))
        said = next(each for each in ann.mails() if "address was changed" in each["subject"])
        assert "new@example.com" not in said.get_content()
        ann.address = "new@example.com"
        ann.token("Verify")


def test_the_metrics_tell_of_mails(gateway: RunningGateway) -> None:
    """How they ended, and how many wait (rule: observable)."""
    with closing(Person(gateway).client) as client:
        client.post("/create", json={"email": "ann@example.com"})

        def scraped() -> bool:
            text = client.get("/metrics").text
            return 'gatewayz_mails_total{end="sent"} 1.0' in text and "mails_waiting 0.0" in text

        eventually(scraped)
