"""A process manager for tests, and a process that runs it and dies at a step."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

from command_api.managers import host, table
from command_api.managers.host import ManagerHost
from command_api.managers.manager import Done
from command_api.money.grants import Grant, append_grant, running_committer
from command_api.processes.managing import begin_managers, keep_managing
from domain.events.ledger import CreditsGranted
from domain.ledger.lots import GrantKind
from domain.wishes import Wish
from event_store.ids import new_uuid7
from event_store.postgres.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from command_api.managers.manager import Taken
    from command_api.settings import Settings
    from domain.events.base import Event

CAUSE, EFFECT = 7, 3
STEPS = ("advancing", "advanced", "leased", "before", "after", "ending", "ended")
WAIT_S = 20.0


class Giver:
    """Whoever is given credits by an admin gets a small bonus too: one for each."""

    hears: Sequence[type[Event]] = (CreditsGranted,)
    only = ""

    def __init__(
        self, database: Database, *, name: str = "giver", from_the_beginning: bool = False
    ) -> None:
        """`poison` are reasons of grants that cannot be heard, `hard` of those that fail."""
        self.name, self.from_the_beginning = name, from_the_beginning
        self._database = database
        self.poison: set[str] = set()
        self.hard: set[str] = set()
        self.due_at: str | None = None
        self.done: list[str] = []

    def react(self, event: Event) -> list[Wish]:
        """Pure, but for the poison."""
        assert isinstance(event, CreditsGranted)
        if event.reason in self.poison:
            message = f"cannot hear {event.reason}"
            raise ValueError(message)
        if event.kind != GrantKind.ADMIN_CREDIT:
            return []
        details = {"account_id": event.account_id, "reason": event.reason}
        key = f"give {event.lot_id}"
        return [Wish(kind="give", key=key, details=details, due_at=self.due_at)]

    async def fulfil(self, taken: Taken) -> Done:
        """The bonus."""
        if taken.details["reason"] in self.hard:
            message = "too hard"
            raise ValueError(message)
        await give(
            self._database,
            UUID(taken.details["account_id"]),
            EFFECT,
            GrantKind.BONUS,
            key=f"{self.name} {taken.key}",
        )
        self.done.append(taken.key)
        return Done()


async def give(
    database: Database,
    account_id: UUID,
    amount: int,
    kind: GrantKind,
    *,
    key: str | None = None,
    reason: str = "test",
) -> None:
    """A grant."""
    grant = Grant(
        account_id=account_id, amount=amount, kind=kind, reason=reason, idempotency_key=key
    )
    async with running_committer(database) as committer:
        await append_grant(committer, grant, actor="test")


def cause(database: Database, reason: str = "test", account_id: UUID | None = None) -> UUID:
    """What the manager hears; returns the account."""
    account_id = account_id or new_uuid7()
    asyncio.run(give(database, account_id, CAUSE, GrantKind.ADMIN_CREDIT, reason=reason))
    return account_id


def effects(database: Database, account_id: UUID) -> int:
    """How many bonuses an account got."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT count(*) FROM credit_lot WHERE account_id = %s AND kind = 'bonus'",
            [account_id],
        ).fetchall()
    return int(rows[0][0])


def run_until(
    made: ManagerHost, found: Callable[[], object], *others: ManagerHost, seconds: float = WAIT_S
) -> None:
    """Run hosts until something is so; fails the test after a while."""
    stop = threading.Event()

    async def run() -> None:
        running = [asyncio.create_task(each.run(stop)) for each in (made, *others)]
        until = time.monotonic() + seconds
        try:
            while not await asyncio.to_thread(found):
                assert time.monotonic() < until, "it did not come to be so"
                for each in running:
                    if each.done():
                        each.result()
                await asyncio.sleep(0.02)
        finally:
            stop.set()
            await asyncio.gather(*running)

    asyncio.run(run())


@contextmanager
def managing(settings: Settings, database: Database) -> Iterator[None]:
    """The managers of an installation, until the block ends."""
    stop = threading.Event()
    begin_managers(database)
    work = threading.Thread(target=lambda: asyncio.run(keep_managing(settings, database, stop)))
    work.start()
    try:
        yield
    finally:
        stop.set()
        work.join(WAIT_S)
        assert not work.is_alive(), "the managers did not end"


def all_done(database: Database, name: str) -> bool:
    """Whether a manager began, and all have heard everything, done what is due and did not fail,
    and do nothing now.
    """
    with database.connect() as connection:
        found = table.standings(connection)
        doing = "SELECT FROM manager_wish WHERE tries > 0 AND NOT failed LIMIT 1"
        if connection.execute(doing).fetchall():
            return False
    began = name in {each.name for each in found}
    return began and not any(each.lag_events or each.due for each in found)


def _die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _dying(step: str, giver: Giver) -> None:
    """Let the process die at a step."""

    def around(owner: Any, name: str, *, before: bool) -> None:
        real = getattr(owner, name)

        def wrapped(*values: Any, **named: Any) -> Any:
            if before:
                _die()
            found = real(*values, **named)
            if name == "lease" and not found:
                return found
            _die()
            return found

        setattr(owner, name, wrapped)

    fulfil = giver.fulfil

    async def after(taken: Taken) -> Done:
        await fulfil(taken)
        _die()
        raise AssertionError

    async def before(_: Taken) -> Done:
        _die()
        raise AssertionError

    if step == "advancing":  # Inside the transaction that moves the position.
        around(table, "put", before=False)
    elif step == "advanced":  # Behind it.
        around(table, "lease", before=True)
    elif step == "leased":
        around(table, "lease", before=False)
    elif step == "before":
        giver.fulfil = before  # type: ignore[assignment, method-assign]
    elif step == "after":
        giver.fulfil = after  # type: ignore[method-assign]
    elif step == "ending":  # Inside the transaction that ends the wish.
        around(table, "end", before=False)
    else:
        around(host.ManagerHost, "_end", before=False)


def main(application: str, step: str) -> None:
    """Run the manager, and die at a step."""
    database = Database(application=application, owner="")
    giver = Giver(database)
    _dying(step, giver)
    asyncio.run(ManagerHost(database, [giver]).run(threading.Event()))


if __name__ == "__main__":
    main(*sys.argv[1:])
