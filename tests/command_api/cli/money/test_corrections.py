"""`gatewayz rerate` and `gatewayz call correct`, as an operator runs them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

from typer.testing import CliRunner

from command_api.cli.main import app
from domain.pricing.usage import Usage
from event_store.ids import new_uuid7
from tests.command_api.cli.test_refusals import refused
from tests.event_store.append.test_append import append
from tests.support import entries
from tests.support.processes import PROGRAM, TIMEOUT_S, gatewayz
from tests.support.rated_calls import NEW, OLD, call, publish, version

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from event_store.postgres.database import Database

ACCOUNT = UUID("00000000-0000-7000-8000-00000000000a")
RERATE = ("rerate", "--model", "org/m", "--from", "2020-01-01", "--price-version", version(NEW))
CONFIRMED = (*RERATE, "--yes", "--reason", "the list was wrong")
MANY = 4_000
COUNT = "SELECT count(*), count(DISTINCT originator_id) FROM events WHERE topic LIKE %s"


def counted(database: Database) -> tuple[int, int]:
    """Corrections in the log, and calls that have one."""
    with database.connect() as connection:
        found = connection.execute(COUNT, ["%charge_corrected%"]).fetchone()
    assert found is not None
    return found[0], found[1]


def test_a_price_is_corrected_when_confirmed(database: Database, tmp_path: Path) -> None:
    """Shown first; with --yes and a reason done, once (money rule 17)."""

    def run(*arguments: str) -> Any:
        return gatewayz(tmp_path, *arguments, GATEWAYZ_DATABASE_URL=database.owner)

    def said(*arguments: str) -> str:
        return refused(tmp_path, *arguments, GATEWAYZ_DATABASE_URL=database.owner)

    publish(database, OLD, NEW)
    append(database, entries.grant(ACCOUNT, 10**12))
    called = new_uuid7()
    append(database, *call(ACCOUNT, Usage(101, 7), call_id=called))
    append(database, *call(ACCOUNT, Usage(5, 5, images=1)))
    shown = run(*RERATE)
    assert shown["by_account"][0]["old_cost_nano_usd"] == 57_500
    assert shown["by_account"][0]["new_cost_exact_nano_usd"] == "32300.5"
    assert shown["to_correct"]["difference_usd"] == "-0.000025200"
    assert (shown["corrected"], shown["not_rated"]) == (0, {"no_term": 1})
    assert shown["not_rated_calls"][0]["said"] == "the price has no term for images"
    assert counted(database) == (0, 0)
    assert "--reason must say why" in said(*RERATE, "--yes")
    assert "--from must lie before --to" in said(*RERATE, "--to", "2019-01-01")
    for absurd in ("", "2026-02-30"):
        assert "is no day or instant" in said(*RERATE, "--from", absurd)
    assert "has no time zone" in said(*RERATE, "--to", "2027-01-01T00:00:00")
    done = run(*CONFIRMED)
    assert (done["corrected"], done["to_correct"]) == (1, shown["to_correct"])
    assert run(*CONFIRMED)["corrected_before"] == 1
    assert counted(database) == (1, 1)

    correction = ("call", "correct", str(called), "--amount", "0.00001", "--reason", "invoice 7")
    stated = run(*correction, "--idempotency-key", "k")
    assert (stated["cost_nano_usd"], stated["charged_nano_usd"]) == (10_000, -22_300)
    assert run(*correction, "--idempotency-key", "k")["repeated"]
    other = (*correction[:4], "1", *correction[5:], "--idempotency-key", "k")
    assert "once by each" in said(*other)
    assert "was not settled" in said("call", "correct", str(ACCOUNT), *correction[3:])
    for amount, line in (("-1", "at least 0"), ("1e30", "more than"), ("1000001", "costs from 0")):
        assert line in said("call", "correct", str(called), f"--amount={amount}", *correction[5:])
    assert "has at most 100" in said(*correction, "--idempotency-key", "k" * 101)
    assert run("ledger", "verify")["ok"]


def test_people_are_told_and_asked(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines for people; without somebody to ask nothing is done (rule: refuse clearly)."""
    publish(database, OLD, NEW)
    append(database, entries.grant(ACCOUNT, 10**12))
    append(database, *call(ACCOUNT, Usage(101, 7)))
    append(database, *call(ACCOUNT, Usage(5, 5, images=1)))
    environment = {"GATEWAYZ_DATABASE_URL": database.owner}
    arguments = [*RERATE, "--home", str(tmp_path)]
    done = CliRunner().invoke(app, arguments, env=environment)
    assert done.exit_code == 0, done.stderr
    assert f"account_id={ACCOUNT}" in done.stdout
    assert "no_term: the price has no term for images" in done.stdout
    assert "nothing was corrected: give --yes" in done.stderr
    monkeypatch.setattr("command_api.cli.money.corrections._somebody_there", lambda: True)
    done = CliRunner().invoke(app, arguments, env=environment, input="n\n")
    assert (done.exit_code, counted(database)) == (1, (0, 0))
    done = CliRunner().invoke(app, arguments, env=environment, input="y\nwrong list\n")
    assert done.exit_code == 0, done.stderr
    assert counted(database) == (1, 1)


def test_a_killed_run_is_done_again(database: Database, tmp_path: Path) -> None:
    """Killed in the middle, run again: each call is corrected once (P3, money rule 17)."""
    publish(database, OLD, NEW)
    append(database, entries.grant(ACCOUNT, 10**15))
    pairs = [call(ACCOUNT, Usage(101, 7)) for _ in range(MANY)]
    for place in (0, 1):
        append(database, *[pair[place] for pair in pairs])
    running = subprocess.Popen(
        [str(PROGRAM), *CONFIRMED, "--json", "--home", str(tmp_path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "GATEWAYZ_DATABASE_URL": database.owner},
    )
    until = time.monotonic() + TIMEOUT_S
    while not counted(database)[0]:
        assert time.monotonic() < until
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(signal.SIGKILL)
    assert running.wait(TIMEOUT_S) == -signal.SIGKILL
    before, _ = counted(database)
    assert 0 < before < MANY
    done = gatewayz(tmp_path, *CONFIRMED, GATEWAYZ_DATABASE_URL=database.owner)
    assert done["corrected"] + done["corrected_before"] == MANY
    assert done["corrected"] >= MANY - counted(database)[0]
    assert counted(database) == (MANY, MANY)
    assert gatewayz(tmp_path, "ledger", "verify", GATEWAYZ_DATABASE_URL=database.owner)["ok"]
