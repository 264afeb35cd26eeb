"""The monitor's rounds: every few minutes one process of all gateways checks every provider.

The round is leased in the database, so that gateways of one database share one monitor, and a
process that dies in the middle of a round is followed by another.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

import psycopg

from command_api.composition import registry_of
from command_api.health.checks import Checker, is_checkable
from event_store.beside.upkeep.reading import end_round, keep_checks, take_round

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from command_api.settings import Settings
    from event_store.beside.upkeep.reading import Check
    from event_store.postgres.database import Database
    from providers.inference.registry.offers import Provider

logger = logging.getLogger("gatewayz.health")

POLL_S = 2.0
"""Time between two looks whether a round is due, seconds."""
STOP_POLL_S = 0.2
FIRST_S = 20.0
"""A process looks first after about so long: its start has other things to do."""
JITTER = 0.1
"""Rounds are due so much earlier or later, so that houses do not ask providers in step."""
LEASE_MORE_S = 30.0


async def keep_monitoring(
    settings: Settings, database: Database, stop: threading.Event, *, first_s: float = FIRST_S
) -> None:
    """Make the rounds that are due, until told to stop; never raises."""
    registry = registry_of(settings)
    checker = Checker(timeout_s=settings.health.check_timeout_s)
    providers = [each for each in registry.providers.values() if is_checkable(each)]
    spread = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - nothing to guess
    try:
        await asyncio.to_thread(stop.wait, first_s * spread)
        while not stop.is_set():
            try:
                await _round(settings, database, checker, providers, stop)
            except psycopg.Error as error:
                logger.warning("checks are put off: %s", " ".join(str(error).split()))
            except Exception:
                # Whatever it is, the sweep and the read models of this process go on.
                logger.exception("a round of checks met a defect and is put off")
            await asyncio.to_thread(stop.wait, POLL_S)
    finally:
        checker.close()
        await registry.close()


async def _round(
    settings: Settings,
    database: Database,
    checker: Checker,
    providers: list[Provider],
    stop: threading.Event,
) -> None:
    lease_s = checker.round_s(len(providers)) + LEASE_MORE_S
    if not await asyncio.to_thread(_take, database, lease_s):
        return
    checking = asyncio.ensure_future(checker.check(providers))
    try:
        while not checking.done() and not stop.is_set():
            await asyncio.wait({checking}, timeout=STOP_POLL_S)
        if not checking.done():
            return  # The lease ends by itself, and another process begins anew.
        found = checking.result()
    finally:
        checking.cancel()
    spread = 1 + random.uniform(-JITTER, JITTER)  # noqa: S311 - nothing to guess
    await asyncio.to_thread(_end, database, found, settings.health.interval_s * spread)
    failed = [f"{each.provider} ({each.error})" for each in found if each.error]
    if failed:
        logger.warning("checks that failed: %s", ", ".join(failed))


def _take(database: Database, lease_s: float) -> bool:
    with database.connect() as connection:
        return take_round(connection, lease_s=lease_s)


def _end(database: Database, found: Sequence[Check], next_s: float) -> None:
    with database.connect() as connection, connection.transaction():
        keep_checks(connection, found)
        end_round(connection, next_s=next_s)
