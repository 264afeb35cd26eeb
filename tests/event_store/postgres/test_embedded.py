"""The embedded server: persistent, shared, adopted, closed to others."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from event_store.errors import EmbeddedPostgresError
from event_store.postgres.embedded import EmbeddedPostgres
from event_store.postgres.launcher import (
    Launcher,
    choose_launcher,
    closed_folder,
    unprivileged_user,
)
from event_store.postgres.migrate import migrate
from tests.support.harness import eventually

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ROOT = Path(__file__).parents[3]


def count(database: Database) -> int:
    """Events in the log."""
    with database.connect() as connection:
        row = connection.execute("SELECT count(*) FROM events").fetchone()
        assert row is not None
        return int(row[0])


def answers(database: Database) -> bool:
    """Whether the server does."""
    with database.connect() as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)


def test_data_survives_and_migrations_run_once(tmp_path: Path) -> None:
    """Start, stop, start: the same data; migrating again changes nothing (rule: two commands)."""
    server = EmbeddedPostgres(tmp_path)
    with server.running() as database:
        assert len(migrate(database)) > 10
        with database.connect() as connection:
            connection.execute(
                "INSERT INTO events (originator_id, originator_version, topic, state) "
                "VALUES (gen_random_uuid(), 1, 'x', '')"
            )
    assert server.postmaster_pid() is None
    with server.running() as database:
        assert migrate(database) == []
        assert count(database) == 1


def test_it_is_closed_to_others(tmp_path: Path) -> None:
    """0700 folders, no TCP, scram passwords, a role that is no superuser (rule: access)."""
    server = EmbeddedPostgres(tmp_path)
    with server.running() as database:
        for folder in (server.base, server.data, server.socket_folder):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        with database.connect() as connection:
            show = connection.execute("SHOW listen_addresses").fetchone()
            role = connection.execute(
                "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
        assert (show, role) == (("",), (False,))
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(database.application, password="wrong")


def test_passwords_are_random_and_cheap_to_check(tmp_path: Path) -> None:
    """They are 256 random bits, which nobody guesses however cheap a try is (rule: access)."""
    with EmbeddedPostgres(tmp_path).running() as database, database.connect_as_owner() as owner:
        rows = owner.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolcanlogin ORDER BY rolname"
        ).fetchall()
        assert [str(each).split(":")[0] for (each,) in rows] == ["SCRAM-SHA-256$1"] * 2
    for role in ("gatewayz_app", "gatewayz_owner"):
        assert len((tmp_path / "postgres" / f"{role}.password").read_text().strip()) >= 43


def test_users_share_one_server_and_the_last_one_stops_it(tmp_path: Path) -> None:
    """Two at once see the same server; it goes on until both have left (rule: two commands)."""
    first, second = EmbeddedPostgres(tmp_path), EmbeddedPostgres(tmp_path)
    with first.running():
        pid = first.postmaster_pid()
        with second.running() as database:
            assert second.postmaster_pid() == pid
            assert answers(database)
        assert first.postmaster_pid() == pid
    assert first.postmaster_pid() is None


STARTER = """
import os, sys
from pathlib import Path
from event_store.postgres.embedded import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])).running():
    print("up", flush=True)
    os.kill(os.getpid(), 9)
"""


def test_an_orphaned_server_is_adopted(tmp_path: Path) -> None:
    """Its starter was killed: the next one uses it, and ends it on leaving (rule: two commands)."""
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(tmp_path)], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    server = EmbeddedPostgres(tmp_path)
    orphan = server.postmaster_pid()
    assert orphan is not None
    with server.running():
        assert server.postmaster_pid() == orphan
    assert server.postmaster_pid() is None


def test_an_adopted_server_that_dies_is_started_again(tmp_path: Path) -> None:
    """The supervisor finds it dead, whoever had started it (P12, rule: two commands)."""
    subprocess.run(
        [sys.executable, "-c", STARTER, str(tmp_path)], cwd=ROOT, capture_output=True, check=False
    )
    server = EmbeddedPostgres(tmp_path)
    with server.running() as database:
        migrate(database)
        assert not server.revive()
        orphan = server.postmaster_pid()
        assert orphan is not None
        os.kill(orphan, signal.SIGKILL)
        assert eventually(lambda: revived(server))
        assert server.postmaster_pid() != orphan
        assert count(database) == 0


def revived(server: EmbeddedPostgres) -> bool:
    """One look; just after a kill the dead server's last processes may still be in the way."""
    try:
        return server.revive()
    except EmbeddedPostgresError:
        return False


def test_a_killed_server_recovers(tmp_path: Path) -> None:
    """A stale pid file does not keep the next start from starting (rule: two commands)."""
    server = EmbeddedPostgres(tmp_path)
    with server.running() as database:
        migrate(database)
        pid = server.postmaster_pid()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert server._server is not None
        server._server.wait()
        with EmbeddedPostgres(tmp_path).running() as again:
            assert count(again) == 0


def test_a_long_path_gets_a_short_socket(tmp_path: Path) -> None:
    """A Unix socket's path may hold about a hundred bytes (rule: two commands)."""
    home = tmp_path / ("long" * 30)
    server = EmbeddedPostgres(home)
    assert len(str(server.socket_folder)) < 60
    with server.running() as database:
        assert answers(database)


def test_a_closed_parent_is_named_with_its_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root without namespaces drops to a user who must get there (rule: refuse clearly)."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert closed_folder(closed / "home", os.getuid() + 1, os.getgid() + 1) is not None
    if os.geteuid() != 0:
        assert choose_launcher(closed) == Launcher()
        return
    with pytest.raises(EmbeddedPostgresError, match="chmod o\\+x"):
        choose_launcher(closed / "home" / "postgres", namespaces=False)
    monkeypatch.setenv("GATEWAYZ_POSTGRES_USER", "nobody-of-this-name")
    with pytest.raises(EmbeddedPostgresError, match="no user"):
        choose_launcher(closed, namespaces=False)


def test_the_unprivileged_user_can_be_named() -> None:
    """`nobody`, unless the environment names another (rule: contract)."""
    assert unprivileged_user({}) == "nobody"
    assert unprivileged_user({"GATEWAYZ_POSTGRES_USER": "postgres"}) == "postgres"


def test_another_version_is_refused(tmp_path: Path) -> None:
    """Data of another major version is never touched (rule: refuse clearly)."""
    server = EmbeddedPostgres(tmp_path)
    with server.running():
        pass
    version = server.data / "PG_VERSION"
    version.write_text("9\n")
    with pytest.raises(EmbeddedPostgresError, match="pg_dump"), server.running():
        pass


def test_remains_of_a_killed_server_are_waited_for(tmp_path: Path) -> None:
    """A process of it that lingers holds its memory; the start goes on when it has gone
    (rule: two commands).
    """
    server = EmbeddedPostgres(tmp_path)
    with server.running() as database, database.connect() as connection:
        migrate(database)
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
        pid = server.postmaster_pid()
        assert row is not None
        assert pid is not None
        os.kill(row[0], signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)
        assert server._server is not None
        server._server.wait()
        with pytest.raises(EmbeddedPostgresError, match=r"shared memory.*see "):
            server.revive()
        threading.Timer(1.0, os.kill, (row[0], signal.SIGCONT)).start()
        with EmbeddedPostgres(tmp_path).running() as again:
            assert count(again) == 0


def test_a_pid_file_whose_number_somebody_else_has_is_left_behind(tmp_path: Path) -> None:
    """As in a container that is started anew; nobody else is signalled (rule: two commands)."""
    server = EmbeddedPostgres(tmp_path)
    file = server.data / "postmaster.pid"
    with server.running():
        left = file.read_text().split("\n")
    with subprocess.Popen(["sleep", "60"]) as other:
        file.write_text("\n".join([str(other.pid), *left[1:]]))
        with server.running() as database:
            assert answers(database)
            assert server.postmaster_pid() != other.pid
        assert other.poll() is None
        other.kill()


def group_lives(leader: int) -> bool:
    """Whether any process of a group is more than an uncollected corpse."""
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, group = file.read_text().rsplit(")", 1)[1].split()[:3]
        except (FileNotFoundError, ProcessLookupError):
            continue  # It ended while we looked.
        if int(group) == leader and state != "Z":
            return True
    return False


def test_initdb_that_is_interrupted_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data is whole or not there, and no process goes on (rule: two commands)."""
    server = EmbeddedPostgres(tmp_path)
    started: list[int] = []
    wait = subprocess.Popen.wait

    def interrupted(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if "initdb" not in str(process.args):
            return wait(process, timeout)
        monkeypatch.undo()
        started.append(process.pid)
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt), server.running():
        pass
    assert [each.name for each in server.base.glob("data*")] == []
    assert eventually(lambda: not group_lives(started[0]))
    with server.running() as database:
        assert answers(database)
