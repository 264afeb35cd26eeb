"""One person has one trial, as far as addresses tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from command_api.settings import Settings
from tests.support.harness import running_gateway
from tests.support.people import Person

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream


def verify(person: Person, name: str) -> str:
    """Register and verify; the key."""
    key: str = person.register(username=name)["api_key"]
    person.post("/auth/verify-email", token=person.token("Verify"))
    person.client.headers["authorization"] = f"Bearer {key}"
    return key


def granted(person: Person) -> int:
    """What the ledger gave."""
    found: int = person.client.get("/user/balance").json()["granted_nano_usd"]
    return found


def test_a_mailbox_has_one_trial(gateway: RunningGateway) -> None:
    """However its address is written; the accounts are good all the same (money rule 10)."""
    with ExitStack() as clients:
        people = [
            Person(gateway, address)
            for address in ("ann@example.com", "ann+2@example.com", "bob@example.com")
        ]
        for number, person in enumerate(people):
            clients.callback(person.client.close)
            verify(person, f"name{number}")
        assert [granted(each) for each in people] == [10 * 10**9, 0, 10 * 10**9]
        profile = people[1].client.get("/user/profile").json()
        assert profile["email_verified"] is True
    gateway.verified()


def test_who_leaves_and_comes_back_has_had_it(gateway: RunningGateway) -> None:
    """Nothing but a keyed hash remembers the address (money rule 10, P5)."""
    first = Person(gateway, "ann@example.com")
    key = verify(first, "ann")
    assert granted(first) == 10 * 10**9
    first.leave(key)
    (gateway.settings.installation.home / "mail").rename(
        gateway.settings.installation.home / "mail-before"
    )
    again = Person(gateway, "Ann@example.com")
    verify(again, "ann2")
    assert granted(again) == 0
    again.client.close()
    with gateway.database.connect() as connection:
        rows = connection.execute("SELECT person FROM trial_person").fetchall()
    assert len(rows) == 1
    assert "ann" not in rows[0][0]


def test_at_once_it_is_one_too(gateway: RunningGateway) -> None:
    """Four accounts of one mailbox, verified at the same instant (money rule 10, P3)."""
    people = [Person(gateway, f"ann+{number}@example.com") for number in range(4)]
    tokens = []
    for number, person in enumerate(people):
        key = person.register(username=f"name{number}")["api_key"]
        tokens.append(person.token("Verify"))
        person.client.headers["authorization"] = f"Bearer {key}"
    with ThreadPoolExecutor(4) as threads:
        list(
            threads.map(
                lambda each: each[0].post("/auth/verify-email", token=each[1]),
                zip(people, tokens, strict=True),
            )
        )
    assert sorted(granted(each) for each in people) == [0, 0, 0, 10 * 10**9]
    for person in people:
        person.client.close()


def test_the_trial_is_what_the_settings_say(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Amount, time and limits; and one that was given stays what it was (money rule 10)."""
    wanted = {"trial_days": 1, "trial_usd": "0.5", "trial_requests": 2, "trial_tokens": 500}
    with running_gateway(database, tmp_path / "home", upstream, **wanted) as gateway:
        person = Person(gateway)
        verify(person, "ann")
        found = person.client.get("/trial/status").json()["trial_status"]
        assert (found["remaining_credits"], found["remaining_requests"]) == (0.5, 2)
        assert found["remaining_tokens"] == 500
        person.client.close()
        gateway.verified()


@pytest.mark.parametrize(
    "wanted",
    [
        *({"trial_usd": each} for each in ("0", "-1", "many", "1e99", "0.0000000001")),
        *({"trial_days": each} for each in (0, -1, 366)),
        {"trial_requests": -1},
        {"trial_tokens": 10**19},
    ],
)
def test_a_trial_that_cannot_be_ends_the_start(wanted: dict[str, object]) -> None:
    """Named by its variable (rule: refuse clearly)."""
    with pytest.raises(ValidationError, match="GATEWAYZ_TRIAL"):
        Settings(**wanted)
