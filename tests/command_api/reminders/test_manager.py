"""Mails before credits end, and when a trial has ended: one for each lot and kind."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.managers import table
from command_api.money.grants import Grant, Grants
from domain.ledger.lots import GrantKind
from event_store.ids import new_uuid7, to_iso
from projections.all import PROJECTIONS
from projections.engine.rebuild import rebuild
from tests.support.harness import USD, eventually
from tests.support.managers import all_done, managing
from tests.support.people import Person

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.harness import RunningGateway

ENDING, ENDED, EXPIRING = (
    "Your trial ends soon",
    "Your trial has ended",
    "Credits of yours expire soon",
)


@pytest.fixture
def house(gateway: RunningGateway) -> Iterator[RunningGateway]:
    """A gateway with its managers."""
    with managing(gateway.settings, gateway.database):
        yield gateway
        gateway.verified()


def registered(house: RunningGateway, name: str = "ann") -> tuple[Person, dict[str, str]]:
    """Somebody with a key."""
    person = Person(house, f"{name}@example.com")
    made = person.register(username=name)
    person.client.headers["authorization"] = f"Bearer {made['api_key']}"
    return person, made


def give(house: RunningGateway, account: str, kind: GrantKind, days: float) -> None:
    """A grant that ends in so many days."""
    grant = Grant(
        account_id=UUID(account),
        amount=5 * USD,
        kind=kind,
        reason="test",
        expires_at=to_iso(datetime.now(UTC) + timedelta(days=days)),
    )
    asyncio.run(Grants(house.database, actor="test").give(grant))


def timers(house: RunningGateway) -> list[str]:
    """Kinds of the mails that wait for their time."""
    with house.database.connect() as connection:
        rows = connection.execute("SELECT kind FROM manager_wish ORDER BY due_at").fetchall()
    return [each for (each,) in rows]


def now_due(house: RunningGateway, kind: str) -> None:
    """The time of a mail has come."""
    with house.database.connect() as connection:
        connection.execute(
            "UPDATE manager_wish SET due_at = booking_clock() WHERE kind = %s", [kind]
        )
    eventually(lambda: kind not in timers(house))


def subjects(person: Person) -> list[str]:
    """Of the mails about credits that came."""
    return [each["subject"] for each in person.mails() if each["subject"] != "Verify your address"]


def test_a_trial_has_two_mails(house: RunningGateway) -> None:
    """Before its end and at its end, each once; no rebuild repeats one (P8, money rule 10)."""
    person, _ = registered(house)
    person.post("/auth/verify-email", token=person.token("Verify"))
    eventually(lambda: timers(house) == ["trial_ending", "trial_ended"])
    now_due(house, "trial_ending")
    eventually(lambda: subjects(person) == [ENDING])
    now_due(house, "trial_ended")
    eventually(lambda: subjects(person) == [ENDING, ENDED])
    for projection in PROJECTIONS:
        rebuild(house.database, projection)
    assert eventually(lambda: all_done(house.database, "reminders"))
    assert subjects(person) == [ENDING, ENDED]
    person.client.close()


def test_credits_that_are_used_up_or_have_ended_need_no_mail(house: RunningGateway) -> None:
    """What is left is looked at when the time has come (money rule 9)."""
    person, made = registered(house)
    give(house, made["account_id"], GrantKind.PURCHASE, 30)
    eventually(lambda: timers(house) == ["credits_ending"])
    now_due(house, "credits_ending")
    eventually(lambda: subjects(person) == [EXPIRING])
    give(house, made["account_id"], GrantKind.BONUS, 30)
    eventually(lambda: timers(house) == ["credits_ending"])
    with house.database.connect_as_owner() as connection:
        connection.execute("CREATE TABLE kept AS SELECT * FROM credit_lot")
        connection.execute("UPDATE credit_lot SET available = 0")
    now_due(house, "credits_ending")
    with house.database.connect_as_owner() as connection:
        connection.execute(
            "UPDATE credit_lot l SET available = k.available FROM kept k WHERE k.lot_id = l.lot_id"
        )
        connection.execute("DROP TABLE kept")
    give(house, made["account_id"], GrantKind.BONUS, 3)
    assert eventually(lambda: all_done(house.database, "reminders"))
    assert timers(house) == []
    assert subjects(person) == [EXPIRING]
    person.client.close()


def test_who_wants_none_and_who_left_gets_none(house: RunningGateway) -> None:
    """Nor has an account a mail that is nobody's own (rule: access, P5)."""
    person, made = registered(house)
    other, left = registered(house, "bob")
    give(house, made["account_id"], GrantKind.BONUS, 30)
    give(house, left["account_id"], GrantKind.BONUS, 30)
    give(house, str(new_uuid7()), GrantKind.BONUS, 30)
    eventually(lambda: timers(house) == ["credits_ending"] * 3)
    wish = {"preferences": {"email_notifications": False}}
    assert person.client.put("/user/profile", json=wish).status_code == 200
    other.leave(left["api_key"])
    now_due(house, "credits_ending")
    give(house, made["account_id"], GrantKind.BONUS, 40)
    eventually(lambda: timers(house) == ["credits_ending"])
    wish = {"preferences": {"email_notifications": True}}
    assert person.client.put("/user/profile", json=wish).status_code == 200
    now_due(house, "credits_ending")
    eventually(lambda: subjects(person) == [EXPIRING])
    assert subjects(other) == []
    with house.database.connect() as connection:
        assert table.troubled(connection, 10) == []
    person.client.close()
