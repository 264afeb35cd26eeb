"""The verbs: their options, and mistakes that are seen before anything is opened."""

from __future__ import annotations

import fcntl
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
import typer.main
from typer.testing import CliRunner

from command_api.cli import users
from command_api.cli.ledger import verbs as ledger
from command_api.cli.main import app
from tests.support.processes import PROGRAM, TIMEOUT_S, gatewayz

if TYPE_CHECKING:
    from pathlib import Path

RUNNER = CliRunner()
PRINT_NOTHING = {"relay", "worker", "database psql"}


def verbs(command: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Each verb by its words."""
    children = getattr(command, "commands", None)
    if not children:
        return {" ".join(path): command}
    return {
        name: found
        for word, each in children.items()
        for name, found in verbs(each, (*path, word)).items()
    }


VERBS = verbs(typer.main.get_command(app))


OFFLINE = {"key scan"}
"""Verbs that ask no ledger."""


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_every_verb_takes_home_and_json(verb: str) -> None:
    """All but those that print nothing speak to programs too (rule: contract)."""
    options = {option for each in VERBS[verb].params for option in each.opts}
    assert ("--home" in options) == (verb not in OFFLINE)
    assert ("--json" in options) == (verb not in PRINT_NOTHING)
    assert VERBS[verb].help


def test_up_and_serve_have_the_same_options() -> None:
    """What starts the server alone starts it the same way (rule: contract)."""
    up, serve = ([each.opts for each in VERBS[verb].params] for verb in ("up", "serve"))
    assert up == serve


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("up",), "GATEWAYZ_WORKERS"),
        (("migrate",), "GATEWAYZ_WORKERS"),
        (("ledger", "verify"), "GATEWAYZ_WORKERS"),
        (("relay",), "GATEWAYZ_WORKERS"),
        (("worker",), "GATEWAYZ_WORKERS"),
        (("projections", "rebuild", "nothing"), "nothing"),
        (("projections", "assign", "journal", "somebody"), "somebody"),
        (("projections", "rebuild", "journal", "--host", "nobody"), "nobody"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_a_mistake_makes_no_home(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    """One line that names it, exit 1, and nothing on the disk (rule: refuse clearly)."""
    home = tmp_path / "home"
    done = RUNNER.invoke(app, [*arguments, "--home", str(home)], env={"GATEWAYZ_WORKERS": "65"})
    assert done.exit_code == 1
    assert done.stderr.startswith("gatewayz: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not home.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ledger", "verify", "--bogus"), "--bogus"),
        (("nothing",), "nothing"),
        (("user", "create"), "--email"),
        (("ledger", "statement", "--account", "x"), "x"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_a_mistaken_command_is_a_line(arguments: tuple[str, ...], said: str) -> None:
    """An option, a verb or a value that is none: exit 1, not that of a missing ledger
    (rule: refuse clearly).
    """
    done = RUNNER.invoke(app, [*arguments])
    assert done.exit_code == 1
    assert done.stderr.startswith("gatewayz: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert "Usage" in RUNNER.invoke(app, ["ledger"]).stderr + RUNNER.invoke(app, ["ledger"]).stdout
    assert RUNNER.invoke(app, ["ledger", "--help"]).exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_verb_that_is_told_to_end_leaves_no_server(number: int, tmp_path: Path) -> None:
    """The database of the home stops with its last user (P2)."""
    pid_file = tmp_path / "postgres/data/postmaster.pid"
    # Whoever runs the tests may have us ignore hang-ups, and children inherit that.
    heard = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); "
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    verb = subprocess.Popen(
        [sys.executable, "-c", heard, str(PROGRAM), "migrate", "--home", str(tmp_path)],
        stderr=subprocess.DEVNULL,
    )
    until = time.monotonic() + TIMEOUT_S
    while not pid_file.exists() and verb.poll() is None and time.monotonic() < until:
        time.sleep(0.05)
    verb.send_signal(number)
    assert verb.wait(TIMEOUT_S) == 128 + number
    assert not pid_file.exists()


def test_an_option_out_of_its_limits_names_the_variable(tmp_path: Path) -> None:
    """The option and the variable are one setting (rule: refuse clearly)."""
    done = RUNNER.invoke(app, ["serve", "--port", "65536", "--home", str(tmp_path / "home")])
    assert done.exit_code == 1
    assert done.stderr.startswith("gatewayz: GATEWAYZ_PORT: ")


@pytest.mark.parametrize("verb", ["up", "serve"])
def test_a_start_that_fails_says_so_in_a_line(verb: str, tmp_path: Path) -> None:
    """Another server, a taken port, a secret that cannot be: never a traceback
    (rule: refuse clearly).
    """

    def said(*options: str, home: Path = tmp_path / "home", **environment: str) -> str:
        text: str = gatewayz(home, verb, *options, status=1, **environment)
        assert text.startswith("gatewayz: ")
        assert text.count("\n") == 1
        return text

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "choose another --port" in said("--port", port)
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file/secret.key")
    assert "GATEWAYZ_SECRET_FILE" in said("--port", "0", GATEWAYZ_SECRET_FILE=folder)
    assert "GATEWAYZ_SECRET_KEY" in said("--port", "0", GATEWAYZ_SECRET_KEY="short")
    assert "Not a directory" in said("--port", "0", home=tmp_path / "file/home")
    with (tmp_path / "home/server.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "runs already" in said("--port", "0")


def test_an_instant_has_a_zone() -> None:
    """A grant ends at one instant, whoever reads it where (money rule 9)."""
    assert users._expiry(None) is None
    assert users._expiry("2027-01-01T01:00:00+01:00") == "2027-01-01T00:00:00.000000Z"
    with pytest.raises(ValueError, match="has no time zone"):
        users._expiry("2027-01-01T00:00:00")
    with pytest.raises(ValueError, match="tomorrow"):
        users._expiry("tomorrow")


def test_a_stream_is_named_by_its_uuid_with_or_without_its_kind() -> None:
    """`call-UUID` and the UUID alone are the same stream (P6)."""
    name = "0198c0de-0000-7000-8000-000000000001"
    assert ledger._stream_id(None) is None
    assert ledger._stream_id(name) == ledger._stream_id(f"call-{name}") == UUID(name)
    with pytest.raises(ValueError, match="is no stream"):
        ledger._stream_id("call-1")


@pytest.mark.parametrize("verb", ["user", "grant", "ledger", "projections"])
def test_a_verb_loads_neither_kafka_nor_a_web_framework(verb: str, tmp_path: Path) -> None:
    """Who types it waits for each module that is loaded (rule: tidy)."""
    program = (
        "import sys; from command_api.cli.main import app; from typer.main import get_command; "
        f"get_command(app).commands[{verb!r}]; print(*sys.modules)"
    )
    loaded = subprocess.check_output(
        [sys.executable, "-c", program], text=True, cwd=tmp_path
    ).split()
    assert "command_api.cli.base" in loaded
    assert not {"kafka", "fastapi", "faust", "stripe"} & set(loaded)
