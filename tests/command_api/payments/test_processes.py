"""Background processes that handle what Stripe told: two at once, and killed at any moment."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from command_api.processes.spawning import PROGRAM
from command_api.settings.surroundings import environment_of
from event_store.postgres.database import url_of
from tests.support.harness import TIMEOUT_S, USD, eventually
from tests.support.payments import Shop, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream


@pytest.fixture
def idle(database: Database, tmp_path: Path, upstream: ScriptedUpstream) -> Iterator[Shop]:
    """A gateway that sells credits; who handles what is told is up to the test."""
    with shop(database, tmp_path / "home", upstream, work=False) as made:
        yield made
        made.gateway.verified()


@contextmanager
def background(store: Shop) -> Iterator[subprocess.Popen[bytes]]:
    """The background process of an installation."""
    database = url_of(store.gateway.database.application, with_password=True)
    read_end, write_end = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-m", PROGRAM, "background", str(read_end)],
        pass_fds=[read_end],
        env=environment_of(store.gateway.settings, database_url=database),
        start_new_session=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait(TIMEOUT_S)
        os.close(read_end)
        os.close(write_end)


def test_two_processes_at_the_same_instant(idle: Shop) -> None:
    """Each payment told six times over, two processes that handle: one lot each (P3, P1)."""
    users = [idle.gateway.user(0) for _ in range(3)]
    odd = idle.double.webhooks.misbehaviour
    odd.copies, odd.other_ids = 3, True
    bought = [idle.buy(user, 1_000 + n) for n, user in enumerate(users) for _ in range(2)]
    eventually(lambda: len(idle.inbox()) == len(bought) * 3 * 4)
    with background(idle), background(idle):
        idle.settled()
    assert sorted(idle.lots()) == sorted(
        (made["payment_id"], made["amount"] * USD // 100) for made in bought
    )
    assert "failed" not in idle.inbox()


@pytest.mark.parametrize("seed", range(2))
def test_killed_between_inbox_and_handling(idle: Shop, seed: int) -> None:
    """`kill -9` again and again; who comes after goes on by itself, nothing twice (P2, P3)."""
    chance, user = random.Random(seed), idle.gateway.user(0)
    bought = [idle.buy(user, 500 + n) for n in range(6)]
    eventually(lambda: len(idle.inbox()) == 6 * 4)
    with idle.gateway.database.connect() as connection:
        for _ in range(3):
            with background(idle) as child:
                time.sleep(0.7 + chance.random())
                child.send_signal(signal.SIGKILL)
                child.wait(TIMEOUT_S)
            # What a dead process had taken is another's after its lease: not to wait for that.
            connection.execute("UPDATE stripe_inbox SET due_at = clock_timestamp()")
        with background(idle):
            idle.settled()
    assert sorted(idle.lots()) == sorted(
        (made["payment_id"], made["amount"] * USD // 100) for made in bought
    )
    assert "failed" not in idle.inbox()
