"""Commands on keys run on threads of their own, so many and no more."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.api_keys.commands import KeyCommands, told
from command_api.identity.key_orders import Maker
from command_api.identity.key_ring import KeyRing
from command_api.identity.people import THREADS, WAITING_MAX, People
from command_api.identity.vault import Vault
from domain.errors import InvalidCommandError
from domain.identity.api_keys import KeyChangedError
from edge.errors import ApiError
from event_store.postgres.database import Database
from tests.support.history import SECRET
from tests.support.outages import away

if TYPE_CHECKING:
    from collections.abc import Iterator

    from command_api.identity.keys import Keys

SECONDS_MAX = 15
"""Less than the half minute for which the library of the streams would wait."""
NOWHERE = "postgresql://nobody@127.0.0.1:9/none?connect_timeout=1"


@contextmanager
def people_on(database: Database) -> Iterator[People]:
    """Those of a process without a server."""
    people = People(database, Vault(SECRET), keys_max=1)
    people.open()
    try:
        yield people
    finally:
        people.close()


def commands_on(people: People) -> KeyCommands:
    """The commands on their keys."""
    database = Database.from_url(NOWHERE)
    return KeyCommands(
        people, KeyRing(database, people.vault, cache_s=1, cache_max=1, wrong_per_s=9)
    )


def test_more_commands_than_may_wait_are_refused(database: Database) -> None:
    """In words of their own; those that wait are served (rule: bounded, rule: refuse clearly)."""
    with people_on(database) as people:
        asyncio.run(_crowd(commands_on(people)))


async def _crowd(commands: KeyCommands) -> None:
    go = threading.Event()

    def wait(_: Keys) -> str:
        assert go.wait(20)
        return "done"

    tasks = [asyncio.ensure_future(commands.run(wait)) for _ in range(THREADS + WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as refused:
        await commands.run(wait)
    assert (refused.value.status, refused.value.code) == (503, "people_busy")
    assert "retry-after" in refused.value.headers
    go.set()
    assert set(await asyncio.gather(*tasks)) == {"done"}


def test_without_the_ledger_nothing_is_changed(database: Database, server: Database) -> None:
    """503 within seconds, as for calls (P12)."""
    with people_on(database) as people, away(database, server):
        commands, began = commands_on(people), time.monotonic()
        with pytest.raises(ApiError) as refused:
            asyncio.run(commands.run(lambda keys: keys.delete(UUID(int=1), Maker("test"))))
        assert time.monotonic() - began < SECONDS_MAX
    assert (refused.value.status, refused.value.code) == (503, "ledger_unavailable")


def test_a_refusal_is_told_as_a_sentence() -> None:
    """With the status of its kind (rule: refuse clearly)."""
    error = told(InvalidCommandError("no such thing"))
    assert (error.status, error.code, error.message) == (400, "invalid_value", "No such thing.")
    assert (told(KeyChangedError("x")).status, told(KeyChangedError("x")).code) == (
        409,
        "key_changed",
    )
