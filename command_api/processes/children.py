"""The child processes: workers that serve, and one that does the background work.

Each child watches a pipe from the supervisor. When the supervisor dies, however it dies, the
pipe closes and the child ends by itself, so that nothing is left behind.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import psycopg

from command_api.composition import committer_of, configure_logging, database_of, vault_of
from command_api.coupons.grants import complete_uses
from command_api.guardrails.file import GuardrailsFileError
from command_api.health.monitor import keep_monitoring
from command_api.identity.secret import SecretError
from command_api.processes.demo import run_double
from command_api.processes.managing import keep_managing
from command_api.processes.paying import keep_paying
from command_api.processes.status_pages import BackgroundMetrics, serve_pages
from command_api.serving.app import make_app
from command_api.serving.server import make_server
from command_api.settings import Settings
from command_api.settings.files import connections_with, upstream_connections
from event_store.append.spool import Spool
from event_store.append.sweeper import Sweeper
from event_store.beside.quotas import prune_windows
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_uuid7
from event_store.log.pruned_keys import prune_keys
from projections.engine.sinks.redis import sinks_of
from projections.hosting.follower import follow
from providers.inference.registry.providers_file import ProvidersFileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from event_store.postgres.database import Database

logger = logging.getLogger("gatewayz")

GC_THRESHOLD = 20_000
GC_THRESHOLD_OF_BATCHES = 200_000
BACKGROUND_NICENESS = 19
ORPHAN_GRACE_S = 2
RETRY_S = 1.0
PRUNE_WINDOWS_S = 3_600.0
"""Time between two prunings of the windows of quotas."""


def watch_supervisor(pipe: int, orphaned: Callable[[], None]) -> None:
    """Call `orphaned` when the other end of the pipe closes; exit hard if that is ignored."""

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        orphaned()
        threading.Event().wait(ORPHAN_GRACE_S)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run_worker(settings: Settings, *, listener: int, pipe: int) -> None:
    """Serve HTTP on an inherited socket until told to stop."""
    database = database_of(settings)
    app = make_app(settings, database, vault_of(settings, database))
    room = connections_with(settings.server.connections_max)
    app.state.gateway.registry.room.most = upstream_connections(room)
    server = make_server(app, settings, connections_max=room)

    def orphaned() -> None:
        app.state.gateway.orphaned = True
        os.kill(os.getpid(), signal.SIGTERM)

    watch_supervisor(pipe, orphaned)
    # What is loaded by now lives as long as the process: collections need not look at it again.
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    # uvicorn's own `fd` takes the socket for a Unix one, and then TCP_NODELAY is never set.
    server.run(sockets=[socket.socket(fileno=listener)])


def run_background(settings: Settings, *, pipe: int) -> None:
    """Follow the log and sweep until told to stop."""
    yield_to_calls()
    spare_collections()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch_supervisor(pipe, stop.set)
    database = database_of(settings)
    sinks = sinks_of(settings.redis.url)
    follower = threading.Thread(
        target=follow,
        args=(database, stop, sinks),
        kwargs={"trail_max_s": settings.reads.trail_max_s},
        daemon=True,
    )
    follower.start()
    if settings.reads.follower_port:
        _serve_pages(settings, database, follower)
    asyncio.run(_work(settings, database, stop))
    follower.join()


async def _work(settings: Settings, database: Database, stop: threading.Event) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_sweeping(settings, database, stop))
        group.create_task(keep_managing(settings, database, stop))
        group.create_task(keep_monitoring(settings, database, stop))
        if settings.payments.takes_part:
            group.create_task(keep_paying(settings, database, stop))


def _serve_pages(settings: Settings, database: Database, follower: threading.Thread) -> None:
    """Health and metrics; a port that is taken keeps nothing else from its work."""
    host, port = settings.server.host, settings.reads.follower_port or 0
    try:
        serve_pages(BackgroundMetrics(database), follower.is_alive, host, port)
    except OSError as error:
        logger.error("metrics are not served on port %d: %s", port, error)  # noqa: TRY400


def spare_collections() -> None:
    """Let the garbage collector look seldom, and never at what lives as long as the process.

    Batches of events are many small objects without cycles; looking at them again and again was
    a fifth of the cost of reading the log.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD_OF_BATCHES)


def yield_to_calls() -> None:
    """Run in the time that the calls leave: nothing on the read side may delay one."""
    os.nice(BACKGROUND_NICENESS)
    if hasattr(os, "SCHED_IDLE"):  # Linux
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


async def keep_sweeping(settings: Settings, database: Database, stop: threading.Event) -> None:
    """Finish what dead processes left and forget old keys, until told to stop; never raises."""
    owner_id = new_uuid7()
    keys_kept = timedelta(days=settings.kept_replies.idempotency_key_days)
    windows_kept, windows_due = timedelta(days=settings.limits.quota_window_days), 0.0
    while not stop.is_set():
        committer = committer_of(settings, database, owner_id)
        sweeper = Sweeper(
            database,
            committer,
            Spool(settings.installation.home, owner_id),
            reply_hours=settings.kept_replies.idempotency_body_hours,
        )
        try:
            await committer.start()
            while not stop.is_set():
                await sweeper.sweep()
                await complete_uses(database, committer)
                await prune_keys(database, keys_kept)
                if time.monotonic() >= windows_due:
                    await prune_windows(database, windows_kept)
                    windows_due = time.monotonic() + PRUNE_WINDOWS_S
                await asyncio.to_thread(stop.wait, settings.leases.sweep_interval_s)
        except (psycopg.Error, LedgerUnavailableError) as error:
            logger.warning("the sweep is put off: %s", error)
            await asyncio.to_thread(stop.wait, RETRY_S)
        except Exception:
            # Whatever it is, the read models of this process go on.
            logger.exception("the sweep met a defect and is put off")
            await asyncio.to_thread(stop.wait, settings.leases.sweep_interval_s)
        finally:
            with suppress(Exception):
                await committer.stop()


def main(arguments: list[str]) -> None:
    """Entry of a child: `worker`, `background` or `double`, then the descriptors it inherits."""
    settings = Settings()
    configure_logging(settings)
    kind, *numbers = arguments
    inherited = [int(each) for each in numbers]
    try:
        if kind == "worker":
            run_worker(settings, listener=inherited[0], pipe=inherited[1])
        elif kind == "double":
            watch = partial(watch_supervisor, inherited[1])
            run_double(settings, listener=inherited[0], gateway=inherited[2], watch=watch)
        else:
            run_background(settings, pipe=inherited[0])
    except (
        psycopg.OperationalError,
        SecretError,
        ProvidersFileError,
        GuardrailsFileError,
    ) as error:
        said = " ".join(str(error).split())
        logger.error("the %s cannot run: %s", kind, said)  # noqa: TRY400 - one line
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
