"""What stands in events for a caller's own words (P5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from command_api.identity import pseudonyms as module
from command_api.identity.pseudonyms import KEEPING_MAX, Pseudonyms
from command_api.identity.vault import Vault
from event_store.postgres.database import Database
from tests.support.harness import completion, eventually, reply, running_gateway

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.harness import ScriptedUpstream

NOWHERE = Database(application="host=127.0.0.1 port=1 connect_timeout=1", owner="")


def names_in(database: Database) -> list[str]:
    """The kept names."""
    with database.connect() as connection:
        return [name for (name,) in connection.execute("SELECT name FROM app_name ORDER BY name")]


def test_the_same_words_have_the_same_hash_under_one_secret() -> None:
    """A request's id in one account only, an app's name in all (P5)."""
    one, other = (Pseudonyms(Vault(secret * 32), NOWHERE) for secret in (b"a", b"b"))
    assert one.of_request("x", "r") == one.of_request("x", "r") != one.of_request("y", "r")
    assert one.of_request("x", "r") != other.of_request("x", "r")
    assert "r-1" not in one.of_request("x", "r-1")
    assert one.of_app("") == ""


async def _written(pseudonyms: Pseudonyms) -> None:
    if pseudonyms._writing is not None:
        await pseudonyms._writing


def call_all(pseudonyms: Pseudonyms, wanted: list[str], account: str = "account") -> list[str]:
    """A charged call of each app."""

    async def run() -> list[str]:
        ids = [pseudonyms.of_app(name) for name in wanted]
        for app_id in ids:
            pseudonyms.keep(account, app_id)
        await _written(pseudonyms)
        return ids

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names are written one batch after the other."""
    monkeypatch.setattr(module, "PAUSE_S", 0)


def test_names_are_kept_once_a_few_at_a_time(database: Database) -> None:
    """What finds no room is kept at its next call (rule: bounded)."""
    pseudonyms = Pseudonyms(Vault(b"a" * 32), database)
    wanted = [f"app {number:02}" for number in range(KEEPING_MAX + 1)]
    first = call_all(pseudonyms, wanted)
    assert names_in(database) == wanted[:-1]
    assert call_all(pseudonyms, wanted) == first
    assert names_in(database) == wanted


def test_an_accounts_names_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever invents names keeps few of them, and no other account's out (rule: bounded)."""
    monkeypatch.setattr(module, "NAMES_OF_ACCOUNT_MAX", 2)
    pseudonyms = Pseudonyms(Vault(b"a" * 32), database)
    call_all(pseudonyms, ["a", "b", "c"])
    call_all(pseudonyms, ["c", "d"])
    call_all(pseudonyms, ["e"], "another")
    assert names_in(database) == ["a", "b", "e"]


def test_a_refused_call_keeps_no_name(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> None:
    """What is refused grows nothing (rule: bounded)."""
    upstream.answer = lambda connection, _: reply(connection, completion())
    with running_gateway(database, tmp_path / "home", upstream) as gateway:
        poor, rich = gateway.user(grant=1), gateway.user()
        assert gateway.chat(poor, {}, **{"X-Title": "refused"}).status_code == 402
        assert gateway.chat(rich, {}, **{"X-Title": "charged"}).status_code == 200
        eventually(lambda: names_in(database))
        assert names_in(database) == ["charged"]


def test_a_call_does_not_need_its_apps_name_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Without the database the hash stands, and the name is tried again (P12)."""
    pseudonyms = Pseudonyms(Vault(b"a" * 32), NOWHERE)
    assert call_all(pseudonyms, ["My app"]) == call_all(pseudonyms, ["My app"])
    assert [record.message.count("could not be kept") for record in caplog.records] == [1, 1]
    assert "My app" not in caplog.text
