"""An account's house losses of a day: counted at once here, and by all processes together."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
import pytest

from command_api.calls import losses as module
from command_api.calls.losses import DAY_S, HouseLosses
from event_store.ids import new_uuid7
from event_store.postgres.database import Database
from tests.support.harness import completion, reply, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.harness import ScriptedUpstream

DAY_MAX = 1_000


def refused(losses: HouseLosses, account: bytes) -> bool:
    """Whether a call of the account would be refused now."""
    refusal = losses.refusal_of(account)
    if refusal is not None:
        assert (refusal.status, refusal.code) == (429, "house_loss_limit")
    return refusal is not None


def share(database: Database, *processes: HouseLosses) -> None:
    """Each process shares, one after the other."""

    async def run() -> None:
        for each in processes:
            await each.share(database)

    asyncio.run(run())


def rows(database: Database) -> list[int]:
    """What the database counts, nano-USD."""
    with database.connect() as connection:
        found = connection.execute("SELECT nano_usd FROM house_loss_of_day ORDER BY 1").fetchall()
        return [nano_usd for (nano_usd,) in found]


def test_losses_of_several_processes_are_one_sum(database: Database) -> None:
    """None of them alone is at the limit, all together are (money rule 3)."""
    account, other = new_uuid7().bytes, new_uuid7().bytes
    first, second = HouseLosses(DAY_MAX), HouseLosses(DAY_MAX)
    for each in (first, second):
        each.note(account, 600)
        each.note(other, 400)
    share(database, first, second, first)
    assert [refused(each, account) for each in (first, second)] == [True, True]
    assert [refused(each, other) for each in (first, second)] == [False, False]
    assert rows(database) == [800, 1_200]
    share(database, first, second)
    assert rows(database) == [800, 1_200]


def test_a_new_process_knows_the_losses_of_a_dead_one(database: Database) -> None:
    """A restart forgets nothing (P8)."""
    account = new_uuid7().bytes
    dead, new = HouseLosses(DAY_MAX), HouseLosses(DAY_MAX)
    dead.note(account, DAY_MAX)
    share(database, dead, new)
    assert refused(new, account)


def test_what_could_not_be_shared_is_shared_later(database: Database) -> None:
    """Without the database each counts its own (P12)."""
    account = new_uuid7().bytes
    losses = HouseLosses(DAY_MAX)
    losses.note(account, 700)
    away = Database("host=127.0.0.1 port=1 dbname=none", "host=127.0.0.1 port=1 dbname=none")
    with pytest.raises(psycopg.OperationalError):
        share(away, losses)
    losses.note(account, 100)
    assert losses.unshared
    share(database, losses)
    assert not losses.unshared
    assert rows(database) == [800]


def test_a_loss_is_added_once_whatever_fails_after_it(database: Database) -> None:
    """What cannot be forgotten now is forgotten later; nothing is counted again (rule: bounded)."""
    account = new_uuid7().bytes
    losses = HouseLosses(DAY_MAX)
    with database.connect_as_owner() as connection:
        connection.execute(
            "INSERT INTO house_loss_of_day VALUES ('2000-01-01', %s, 1)", [account.hex()]
        )
        connection.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            "RAISE EXCEPTION 'no'; END $$; CREATE TRIGGER refuse BEFORE DELETE ON "
            "house_loss_of_day FOR EACH ROW EXECUTE FUNCTION refuse()"
        )
    losses.note(account, 700)
    for _ in range(3):
        with suppress(psycopg.Error):
            share(database, losses)
    assert rows(database) == [1, 700]
    assert not refused(losses, account)


def test_absurd_losses_are_counted_as_the_most_there_can_be(database: Database) -> None:
    """However often (rule: bounded)."""
    account = new_uuid7().bytes
    losses = HouseLosses(DAY_MAX)
    for _ in range(3):
        losses.note(account, 10**30)
        share(database, losses)
    assert rows(database) == [2**63 - 1]
    assert refused(losses, account)


def test_a_new_day_forgets_the_last(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here and in the database, where a few days are kept (money rule 3)."""
    account = new_uuid7().bytes
    losses = HouseLosses(DAY_MAX)
    now = time.time()
    losses.note(account, DAY_MAX)
    share(database, losses)
    assert refused(losses, account)
    monkeypatch.setattr(time, "time", lambda: now + DAY_S)
    assert not refused(losses, account)
    losses.note(account, 1)
    share(database, losses)
    assert rows(database) == [1, DAY_MAX]
    monkeypatch.setattr(time, "time", lambda: now + (module.KEPT_DAYS + 1) * DAY_S)
    losses.note(account, 2)
    share(database, losses)
    assert rows(database) == [1, 2]


def test_the_memory_for_losses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of too many accounts the oldest is forgotten (rule: bounded)."""
    monkeypatch.setattr(module, "ACCOUNTS_MAX", 2)
    losses = HouseLosses(DAY_MAX)
    accounts = [new_uuid7().bytes for _ in range(3)]
    for account in accounts:
        losses.note(account, DAY_MAX)
    assert [refused(losses, account) for account in accounts] == [False, True, True]


def test_a_restart_does_not_lift_the_limit(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Whoever cost too much today is refused by the next process too (money rule 3)."""
    usage = {"prompt_tokens": 10, "completion_tokens": 180, "total_tokens": 190}
    upstream.answer = lambda connection, _: reply(connection, completion(usage=usage))
    home = tmp_path / "home"
    with running_gateway(database, home, upstream, house_loss_day_max_nano_usd=1) as gateway:
        user = gateway.user()
        assert gateway.chat(user, {"max_tokens": 100}).status_code == 200
    with running_gateway(database, home, upstream, house_loss_day_max_nano_usd=1) as gateway:
        got = gateway.chat(user, {"max_tokens": 100})
        assert (got.status_code, got.json()["error"]["code"]) == (429, "house_loss_limit")


def test_a_settlement_is_counted_by_the_append(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Once, whichever way it came; what credits paid does not count (money rule 3)."""
    usage = {"prompt_tokens": 2_000, "completion_tokens": 10, "total_tokens": 2_010}
    upstream.answer = lambda connection, _: reply(connection, completion(usage=usage))
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        rich, poor = gateway.user(), gateway.user(grant=100_000)
        assert gateway.chat(rich, {"max_tokens": 10}).status_code == 200
        got = gateway.chat(poor, {"max_tokens": 10})
        assert got.status_code == 200
        loss = gateway.story(poor, got)["house_loss_nano_usd"]
        assert loss > 0
        assert rows(database) == [loss]
        gateway.verified()


def test_a_repeated_key_is_answered_at_the_limit_too(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """Its first reply, with the same bytes; a new key is refused (P3)."""
    usage = {"prompt_tokens": 10, "completion_tokens": 180, "total_tokens": 190}
    upstream.answer = lambda connection, _: reply(connection, completion(usage=usage))
    with running_gateway(
        database, tmp_path / "home", upstream, house_loss_day_max_nano_usd=1
    ) as gateway:
        user = gateway.user()
        first, again = (
            gateway.chat(user, {"max_tokens": 100}, **{"Idempotency-Key": "k"}) for _ in range(2)
        )
        assert (again.status_code, again.content) == (200, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        other = gateway.chat(user, {"max_tokens": 100}, **{"Idempotency-Key": "l"})
        assert other.status_code == 429
        assert len(upstream.requests) == 1
        gateway.verified()
