"""Commands on keys run on threads of their own, so many and no more."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.api_keys.commands import THREADS, WAITING_MAX, KeyCommands, told
from command_api.identity.key_orders import Maker
from command_api.identity.key_ring import KeyRing
from command_api.identity.vault import Vault
from domain.errors import InvalidCommandError
from domain.identity.api_keys import KeyChangedError
from edge.errors import ApiError
from event_store.postgres.database import Database
from tests.support.history import SECRET

if TYPE_CHECKING:
    from command_api.identity.keys import Keys

NOWHERE = "postgresql://nobody@127.0.0.1:9/none?connect_timeout=1"


def commands_on(database: Database) -> KeyCommands:
    """Those of a process without a server."""
    vault = Vault(SECRET)
    ring = KeyRing(database, vault, cache_s=1, cache_max=1, wrong_per_s=9)
    return KeyCommands(database, vault, ring, keys_max=1)


def test_more_commands_than_may_wait_are_refused(database: Database) -> None:
    """With the time after which to try again; those that wait are served (rule: bounded)."""
    asyncio.run(_crowd(commands_on(database)))


async def _crowd(commands: KeyCommands) -> None:
    go = threading.Event()

    def wait(_: Keys) -> str:
        assert go.wait(20)
        return "done"

    tasks = [asyncio.ensure_future(commands.run(wait)) for _ in range(THREADS + WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as refused:
        await commands.run(wait)
    assert (refused.value.status, refused.value.code) == (503, "key_changes_busy")
    assert "retry-after" in refused.value.headers
    go.set()
    assert set(await asyncio.gather(*tasks)) == {"done"}
    commands.close()


def test_without_the_ledger_nothing_is_changed() -> None:
    """503, as for calls (P12)."""
    commands = commands_on(Database.from_url(NOWHERE))
    with pytest.raises(ApiError) as refused:
        asyncio.run(commands.run(lambda keys: keys.delete(UUID(int=1), Maker("test"))))
    assert (refused.value.status, refused.value.code) == (503, "ledger_unavailable")
    commands.close()


def test_a_refusal_is_told_as_a_sentence() -> None:
    """With the status of its kind (rule: refuse clearly)."""
    error = told(InvalidCommandError("no such thing"))
    assert (error.status, error.code, error.message) == (400, "invalid_value", "No such thing.")
    assert (told(KeyChangedError("x")).status, told(KeyChangedError("x")).code) == (
        409,
        "key_changed",
    )
