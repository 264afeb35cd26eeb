"""How many webhooks a second are kept, and how many become commands on payments.

`python -m bench.webhooks --payments 2000`: each payment is told of twice, as Stripe does; the first
gives the credits, the second changes nothing. First one entry is handled after the other, then
several side by side. Kept is what a webhook waits for; handled is what the
background process does with it, in the order of what happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.workloads import committer_of
from command_api.identity.vault import Vault
from command_api.payments import worker
from command_api.payments.inbox import Inbox, counts
from command_api.payments.worker import LANES_MAX, PaymentWork
from command_api.processes.paying import PARTS
from domain.payments.fiat import Fiat
from domain.payments.payment import Order, Way, start_payment
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates
from event_store.postgres.embedded import EmbeddedPostgres
from projections.hosting.install import migrate_all
from providers.payments.port import PAYMENT_KEY
from providers.payments.told import read_notice

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.postgres.database import Database

SECRET = b"a secret of benchmarks, of 32 b."
TOLD = ("payment_intent.processing", "payment_intent.succeeded")


def start(database: Database, count: int) -> list[UUID]:
    """So many payments that were begun."""
    made, aggregates = [new_uuid7() for _ in range(count)], Aggregates(database)
    try:
        for payment in made:
            account, user = str(new_uuid7()), str(new_uuid7())
            order = Order(account, user, Way.INTENT, Fiat(1_000, "usd"), "1", 10**10)
            aggregates.append([start_payment(payment, order, new_envelope("bench"))])
    finally:
        aggregates.close()
    return made


def bodies(payments: list[UUID]) -> list[bytes]:
    """What Stripe tells of them: two events that both say that it was paid."""
    found = []
    for number, payment in enumerate(payments):
        for place, kind in enumerate(TOLD):
            thing = {
                "object": "payment_intent",
                "id": f"pi_{payment}",
                "status": "succeeded",
                "amount_received": 1_000,
                "currency": "usd",
                "metadata": {PAYMENT_KEY: str(payment)},
            }
            event: dict[str, Any] = {
                "object": "event",
                "id": f"evt_{payment}_{place}",
                "type": kind,
            }
            event |= {"created": 1_700_000_000 + number, "data": {"object": thing}}
            found.append(json.dumps(event).encode())
    return found


def keep(database: Database, inbox: Inbox, told: list[bytes]) -> None:
    """Each as it comes."""
    with database.connect() as connection:
        for body in told:
            assert inbox.keep(connection, read_notice(body), body, "webhook")


async def drain(database: Database, vault: Vault) -> None:
    """All of it, as the background process does."""
    committer, stop = committer_of(database), threading.Event()
    work = PaymentWork(database, vault, None, PARTS, rates={}, poll_s=3_600)

    async def watch() -> None:
        with database.connect() as connection:
            while (await asyncio.to_thread(counts, connection))[0]:
                await asyncio.sleep(0.05)
        stop.set()

    await committer.start()
    try:
        await asyncio.gather(work.keep_working(committer, stop), watch())
    finally:
        await committer.stop()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--payments", type=int, default=2_000)
    payments: int = parser.parse_args().payments
    with (
        tempfile.TemporaryDirectory(prefix="gw-") as home,
        EmbeddedPostgres(Path(home)).running() as database,
    ):
        migrate_all(database)
        for lanes in (1, LANES_MAX):
            worker.LANES_MAX = lanes
            print(f"{lanes} side by side")
            measure(database, payments)


def measure(database: Database, payments: int) -> None:
    """Of payments that were begun just now."""
    vault = Vault(SECRET)
    told = bodies(start(database, payments))
    begun = time.perf_counter()
    keep(database, Inbox(vault), told)
    kept = time.perf_counter()
    asyncio.run(drain(database, vault))
    for name, took in (("kept", kept - begun), ("handled", time.perf_counter() - kept)):
        print(f"{name:<8} {len(told):>8} webhooks  {len(told) / took:9,.0f} a second", flush=True)
    with database.connect() as connection:
        row = connection.execute(
            "SELECT count(*) FILTER (WHERE state <> 'done'), count(*) FROM stripe_inbox"
        ).fetchone()
        granted = connection.execute("SELECT count(*) FROM grant_key").fetchone()
    assert row is not None and granted is not None
    assert (row[0], row[1]) == (0, 2 * granted[0]), (row, granted)


if __name__ == "__main__":
    main()
