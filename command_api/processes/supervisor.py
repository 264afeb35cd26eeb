"""`gatewayz up` and `serve`: start the database, migrate, start the children, end them all.

One server for a home, by a file lock. Children that an earlier supervisor left behind end by
themselves (their pipe is closed); the next start waits for that before it serves. A signal ends a
start at whatever it does, and what it had begun is undone on the way out.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from command_api.composition import (
    embedded_of,
    open_database,
    place_of_secret,
    prepare_database,
    registry_of,
    vault_of,
)
from command_api.guardrails.running import guardrails_of
from command_api.processes.demo import Demo, reachable, returning_to, told, with_double
from command_api.processes.errors import StartError
from command_api.processes.greeting import greeting
from command_api.processes.listener import HEALTH_TIMEOUT_S, answers, listening
from command_api.processes.locks import await_orphans, home_lock
from command_api.processes.managing import begin_managers
from command_api.processes.spawning import Children
from event_store.append.leases import home_identity, lapse_leases_of_home
from event_store.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from command_api.settings import Settings
    from event_store.postgres.embedded import EmbeddedPostgres

logger = logging.getLogger("gatewayz.supervisor")

HEALTH_POLL_S = 0.05
POLL_S = 0.1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StoppedError(KeyboardInterrupt):
    """A signal came while the server started. As an interrupt it also ends a running statement."""


class Supervisor:
    """One run of the server."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        """`say` prints for people."""
        self._settings, self._say = settings, say
        self._children = Children(settings)
        self._stopping = False
        self._starting = True

    def run(self, *, prepare: bool) -> None:
        """Serve until a signal; with `prepare`, migrate and greet first. Raises StartError."""
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        try:
            with ExitStack() as stack:
                try:
                    embedded = self._start(stack, prepare=prepare)
                finally:
                    self._starting = False  # From here on a signal must not hinder the way out.
                self._watch(embedded)
        except StoppedError:
            logger.info("stopped while it started")

    def _start(self, stack: ExitStack, *, prepare: bool) -> EmbeddedPostgres | None:
        settings = self._settings
        home, server = settings.installation.home, settings.server
        stack.enter_context(home_lock(home))
        # A bad URL, providers or guardrails file, or secret stops here, before anything starts.
        embedded = embedded_of(settings)
        registry_of(settings)
        guardrails_of(settings)
        place_of_secret(settings).read()
        listener = stack.enter_context(listening(server.host, server.port, lambda: self._stopping))
        await_orphans(home)
        database = stack.enter_context(open_database(settings, embedded))
        if prepare:
            prepare_database(settings, database, move=True)
        vault_of(settings, database)
        begin_managers(database)
        lapse_leases_of_home(database, home_identity(home))
        read_end, write_end = os.pipe()
        stack.callback(os.close, write_end)
        stack.callback(self._stop_children)
        # Left open while its workers end, it would let callers in whom nobody answers any more.
        stack.callback(listener.close)
        url = f"http://{server.host}:{listener.getsockname()[1]}"
        if settings.payments.demo and not settings.payments.stripe_api_key:
            self._start_double(stack, listener, read_end)
        for _ in range(server.workers):
            self._children.start("worker", listener.fileno(), read_end)
        self._children.start("background", read_end)
        self._await_health(url)
        served = f"Gatewayz serves on {url}/v1"
        self._say(greeting(settings, database, url) if prepare else served)
        if settings.payments.demo:
            self._say(told(settings, url))
        return embedded

    def _stop_children(self) -> None:
        self._children.stop()

    def _start_double(self, stack: ExitStack, listener: socket.socket, pipe: int) -> None:
        """Where the money goes in a demo; the other children are told of it by their settings."""
        own = stack.enter_context(Demo(self._settings.installation.home).listen())
        url = reachable(*listener.getsockname()[:2])
        self._children = Children(returning_to(with_double(self._settings), url))
        self._children.start("double", own.fileno(), pipe, listener.fileno())

    def _signalled(self, number: int, _: object) -> None:
        logger.info("stopping on signal %d", number)
        first, self._stopping = not self._stopping, True
        if first and self._starting:
            raise StoppedError

    def _await_health(self, url: str) -> None:
        until = time.monotonic() + HEALTH_TIMEOUT_S
        while True:
            if self._children.all_ended:
                message = "the serving processes ended at once; their messages stand above"
                raise StartError(message)
            if answers(url):
                return
            if time.monotonic() > until:
                message = f"not healthy after {HEALTH_TIMEOUT_S:g} s"
                raise StartError(message)
            time.sleep(HEALTH_POLL_S)

    def _watch(self, embedded: EmbeddedPostgres | None) -> None:
        """Restart what died; return when told to stop."""
        while not self._stopping:
            time.sleep(POLL_S)
            if embedded is not None:
                _revive(embedded)
            self._children.replace_ended(lambda: self._stopping)


def _revive(embedded: EmbeddedPostgres) -> None:
    """An embedded server that died is started again; calls in flight finish meanwhile."""
    try:
        if embedded.revive():
            logger.error("PostgreSQL had died and is running again")
    except EmbeddedPostgresError as error:
        logger.warning("PostgreSQL cannot be started yet: %s", error)
