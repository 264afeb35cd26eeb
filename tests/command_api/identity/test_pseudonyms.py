"""What stands in events for a caller's own words (P5)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from command_api.identity.pseudonyms import KEEPING_MAX, Pseudonyms
from command_api.identity.vault import Vault
from event_store.postgres.database import Database

if TYPE_CHECKING:
    import pytest

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


async def _settled(pseudonyms: Pseudonyms) -> None:
    while pseudonyms._keeping:
        await asyncio.sleep(0.01)


def test_names_are_kept_once_a_few_at_a_time(database: Database) -> None:
    """What finds no room is kept at its next call (rule: bounded)."""
    pseudonyms = Pseudonyms(Vault(b"a" * 32), database)
    wanted = [f"app {number:02}" for number in range(KEEPING_MAX + 1)]

    async def call_all() -> list[str]:
        ids = [pseudonyms.of_app(name) for name in wanted]
        await _settled(pseudonyms)
        return ids

    first = asyncio.run(call_all())
    assert names_in(database) == wanted[:-1]
    assert asyncio.run(call_all()) == first
    assert names_in(database) == wanted


def test_a_call_does_not_need_its_apps_name_kept(caplog: pytest.LogCaptureFixture) -> None:
    """Without the database the hash stands, and the name is tried again (P12)."""
    pseudonyms = Pseudonyms(Vault(b"a" * 32), NOWHERE)

    async def call() -> str:
        made = pseudonyms.of_app("My app")
        await _settled(pseudonyms)
        return made

    assert asyncio.run(call()) == asyncio.run(call())
    assert [record.message.count("could not be kept") for record in caplog.records] == [1, 1]
    assert "My app" not in caplog.text
