"""`gatewayz up` and `serve`: start the database, migrate, start the children, end them all.

One server for a home, by a file lock. Children that an earlier supervisor left behind end by
themselves (their pipe is closed); the next start waits for that before it serves.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from typing import IO, TYPE_CHECKING
from uuid import UUID

from command_api.composition import (
    embedded_of,
    open_database,
    prepare_database,
    registry_of,
    vault_of,
)
from command_api.identity.users import Users
from command_api.money.grants import Grants
from event_store.append.leases import home_identity, lapse_leases_of_home
from event_store.errors import EmbeddedPostgresError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from command_api.settings import Settings
    from event_store.postgres.database import Database
    from event_store.postgres.embedded import EmbeddedPostgres

logger = logging.getLogger("gatewayz.supervisor")

HEALTH_TIMEOUT_S = 60.0
HEALTH_POLL_S = 0.05
ORPHANS_WAIT_S = 20.0
POLL_S = 0.1
RESTART_WAIT_S = 0.5
STOP_MARGIN_S = 5.0
FIRST_START = "system:first_start"
"""Who makes the first user of a home."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartError(RuntimeError):
    """The server cannot start; the message says what to do."""


class Supervisor:
    """One run of the server."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        """`say` prints for people."""
        self._settings, self._say = settings, say
        self._children: dict[subprocess.Popen[bytes], list[str]] = {}
        self._stopping = False
        self._embedded: EmbeddedPostgres | None = None

    def run(self, *, prepare: bool) -> None:
        """Serve until a signal; with `prepare`, migrate and greet first. Raises StartError."""
        settings = self._settings
        for number in SIGNALS:
            signal.signal(number, self._signalled)
        with ExitStack() as stack:
            stack.enter_context(self._home_lock())
            registry_of(settings)  # A bad providers file stops here, before anything starts.
            listener = stack.enter_context(self._listen())
            self._await_orphans()
            self._embedded = embedded_of(settings)
            database = stack.enter_context(open_database(settings, self._embedded))
            if prepare:
                prepare_database(settings, database, move=True)
            lapse_leases_of_home(database, home_identity(settings.home))
            read_end, write_end = os.pipe()
            stack.callback(os.close, write_end)
            stack.callback(self._stop_children)
            for _ in range(settings.workers):
                self._spawn(["worker", str(listener.fileno()), str(read_end)])
            self._spawn(["background", str(read_end)])
            url = f"http://{settings.host}:{listener.getsockname()[1]}"
            self._await_health(url)
            if prepare and not self._stopping:
                self._greet(database, url)
            elif not self._stopping:
                self._say(f"Gatewayz serves on {url}/v1")
            self._watch()

    def _revive_database(self) -> None:
        """An embedded server that died is started again; calls in flight finish meanwhile."""
        if self._embedded is None:
            return
        try:
            if self._embedded.revive():
                logger.error("PostgreSQL had died and is running again")
        except EmbeddedPostgresError as error:
            logger.warning("PostgreSQL cannot be started yet: %s", error)

    def _signalled(self, number: int, _: object) -> None:
        self._stopping = True
        logger.info("stopping on signal %d", number)

    @contextmanager
    def _home_lock(self) -> Iterator[None]:
        home = self._settings.home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (home / "server.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = (
                    f"a server of the home {home} runs already. Stop it first, or choose another "
                    f"home with --home (and another --port)"
                )
                raise StartError(message) from None
            yield

    @contextmanager
    def _listen(self) -> Iterator[socket.socket]:
        host, port = self._settings.host, self._settings.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            until = time.monotonic() + ORPHANS_WAIT_S / 4
            while True:
                try:
                    listener.bind((host, port))
                    listener.listen(socket.SOMAXCONN)
                    break
                except OSError as error:
                    # An orphan of a killed server lets the port go within a moment.
                    if time.monotonic() > until or self._stopping:
                        message = f"cannot listen on {host}:{port} ({error.strerror}): "
                        message += "choose another --port"
                        raise StartError(message) from None
                    time.sleep(POLL_S)
            yield listener

    def _children_lock(self) -> Path:
        return self._settings.home / "children.lock"

    def _await_orphans(self) -> None:
        """Children hold this lock while they live; only dead ones may have lapsed leases."""
        with self._children_lock().open("a+") as lock:
            until = time.monotonic() + ORPHANS_WAIT_S
            while not _locked(lock):
                if time.monotonic() > until:
                    message = (
                        f"processes of an earlier server still use {self._settings.home}: "
                        f"end them, and start again"
                    )
                    raise StartError(message)
                time.sleep(POLL_S)

    def _spawn(self, arguments: list[str]) -> None:
        settings = self._settings
        lock = self._children_lock().open("a+")
        fcntl.flock(lock, fcntl.LOCK_SH)
        inherited = [int(argument) for argument in arguments[1:]]
        environment = {
            **os.environ,
            "GATEWAYZ_HOME": str(settings.home.absolute()),
            "GATEWAYZ_HOST": settings.host,
            "GATEWAYZ_LOG_LEVEL": settings.log_level,
        }
        if settings.providers_file:
            environment["GATEWAYZ_PROVIDERS_FILE"] = str(settings.providers_file.absolute())
        child = subprocess.Popen(
            [sys.executable, "-m", "command_api.processes.children", *arguments],
            pass_fds=[*inherited, lock.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
        lock.close()  # The child's copy keeps the lock until the child is dead.
        self._children[child] = arguments

    def _await_health(self, url: str) -> None:
        until = time.monotonic() + HEALTH_TIMEOUT_S
        while not self._stopping:
            if all(child.poll() is not None for child in self._children):
                message = "the serving processes ended at once; their messages stand above"
                raise StartError(message)
            try:
                # The URL is our own listener's.
                with urllib.request.urlopen(f"{url}/health", timeout=HEALTH_TIMEOUT_S):
                    return
            except OSError:
                if time.monotonic() > until:
                    message = f"not healthy after {HEALTH_TIMEOUT_S:g} s"
                    raise StartError(message) from None
                time.sleep(HEALTH_POLL_S)

    def _greet(self, database: Database, url: str) -> None:
        settings = self._settings
        marker = settings.home / "welcomed"
        with database.connect() as connection:
            known = connection.execute("SELECT FROM user_secret LIMIT 1").fetchone() is not None
        if marker.exists() or known:
            marker.touch()
            self._say(
                f"Gatewayz serves on {url}/v1\n"
                "Make a key with: gatewayz user create --email you@example.com --grant 10"
                f" --home {settings.home}"
            )
            return
        users = Users(database, vault_of(settings), actor=FIRST_START)
        try:
            user = users.create_user("first-user@localhost")
            trial = Grants(database, actor=FIRST_START).give_trial(UUID(user.account_id))
            asyncio.run(trial)
        finally:
            users.close()
        marker.touch()
        self._say(welcome(url, user.api_key))

    def _watch(self) -> None:
        """Restart a child that died; return when told to stop."""
        while not self._stopping:
            time.sleep(POLL_S)
            self._revive_database()
            for child, arguments in list(self._children.items()):
                if child.poll() is not None and not self._stopping:
                    logger.error(
                        "%s ended with %s and is restarted", arguments[0], child.returncode
                    )
                    del self._children[child]
                    time.sleep(RESTART_WAIT_S)
                    self._spawn(arguments)

    def _stop_children(self) -> None:
        for child in self._children:
            if child.poll() is None:
                child.terminate()
        until = time.monotonic() + self._settings.shutdown_grace_s + STOP_MARGIN_S
        for child in self._children:
            try:
                child.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def welcome(url: str, api_key: str) -> str:
    """What the first start of a home prints."""
    body = '{"model": "simulator/echo", "messages": [{"role": "user", "content": "Hello!"}]}'
    return f"""
Gatewayz serves.

  Base URL  {url}/v1
  API key   {api_key}   (10 USD of trial credits for 3 days; shown this once)

Try it:

  curl {url}/v1/chat/completions \\
    -H "Authorization: Bearer {api_key}" \\
    -H "Content-Type: application/json" \\
    -d '{body}'

Stop with Ctrl-C.
"""
