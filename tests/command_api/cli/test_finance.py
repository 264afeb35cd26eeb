"""What finance and auditors ask of the ledger from a shell: statements, replays as of a time."""

from __future__ import annotations

import csv
import io
import json
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from command_api.cli.base import instant
from command_api.cli.main import app
from command_api.identity.users import Users
from command_api.identity.vault import Vault
from edge.spreadsheets import FORMULA
from event_store.append.outcome_files import QUARANTINE
from event_store.ids import new_uuid7, to_iso
from projections.hosting.verify import NOT_SHOWN
from tests.support import entries
from tests.support.history import SECRET, History

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database

RUNNER = CliRunner()
TOMORROW = to_iso(datetime.now(UTC) + timedelta(days=1))
YESTERDAY = to_iso(datetime.now(UTC) - timedelta(days=1))


class Shell:
    """The command line on a test's database, as finance uses it."""

    def __init__(self, database: Database, home: Path) -> None:
        self.database, self.home = database, home
        self.history = History(database, users=2)
        self.account = self.history.callers[0][0]

    def run(self, *arguments: str, status: int = 0) -> str:
        """What a verb prints."""
        done = RUNNER.invoke(
            app,
            [*arguments, "--home", str(self.home)],
            env={"GATEWAYZ_DATABASE_URL": self.database.owner},
        )
        assert done.exit_code == status, (done.stdout, done.stderr, done.exception)
        return done.stdout if status == 0 else done.stderr

    def printed(self, *arguments: str) -> str:
        """What a verb prints, whatever its exit status."""
        url = {"GATEWAYZ_DATABASE_URL": self.database.owner}
        return RUNNER.invoke(app, [*arguments, "--home", str(self.home)], env=url).stdout

    def lines(self, *arguments: str) -> list[dict[str, Any]]:
        """What a verb prints for programs."""
        return [json.loads(each) for each in self.run(*arguments, "--json").splitlines()]

    def statement(self, *arguments: str) -> list[dict[str, Any]]:
        """The statement of the first account: its lines, then its ends."""
        return self.lines("ledger", "statement", "--account", str(self.account), *arguments)

    def now(self) -> str:
        """The instant of the last event."""
        with self.database.connect() as connection:
            row = connection.execute("SELECT max(booked_at) FROM events").fetchone()
        assert row is not None
        return to_iso(row[0])


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """Two users with credits and some calls."""
    made = Shell(database, tmp_path)
    made.history.calls(20)
    return made


def test_a_statement_runs_from_nothing_to_what_is_posted(shell: Shell) -> None:
    """Each line goes on from the one before; the read models need not be there (P6, P8)."""
    *lines, end = shell.statement()
    assert len(lines) == end["statement"]["lines"] > 3
    balance = 0
    for each in (line["line"] for line in lines):
        balance += each["amount_nano_usd"]
        assert each["balance_after_nano_usd"] == balance
    assert end["statement"]["opening_nano_usd"] == 0
    replayed = shell.lines("ledger", "replay", "--account", str(shell.account))[-1]["balance"]
    posted = replayed["available_nano_usd"] + replayed["held_nano_usd"]
    spendable = posted - replayed["of_which_expired_nano_usd"]
    assert end["statement"]["closing_nano_usd"] == balance == spendable


def test_periods_join_without_a_gap_or_an_overlap(shell: Shell) -> None:
    """`--from` is within, `--to` is not; the end of one is the beginning of the next (P6)."""
    middle = shell.now()
    shell.history.append(entries.grant(shell.account, 7))
    *before, end = shell.statement("--to", middle)
    *after, rest = shell.statement("--from", middle)
    *whole, _ = shell.statement()
    assert [*before, *after] == whole
    assert end["statement"]["closing_nano_usd"] == rest["statement"]["opening_nano_usd"]
    assert after[-1]["line"]["amount_nano_usd"] == 7
    *none, nothing = shell.statement("--from", TOMORROW)
    assert none == []
    assert nothing["statement"]["opening_nano_usd"] == nothing["statement"]["closing_nano_usd"]
    assert shell.statement("--to", YESTERDAY[:10])[-1]["statement"]["closing_nano_usd"] == 0


def test_a_period_that_ends_before_it_begins_is_refused(shell: Shell) -> None:
    """It would be an empty statement that looks right (rule: refuse clearly)."""
    period = ("--from", TOMORROW, "--to", YESTERDAY)
    said = shell.run("ledger", "statement", "--account", str(shell.account), *period, status=1)
    assert said == f"gatewayz: --from {TOMORROW} is after --to {YESTERDAY}\n"


@pytest.mark.parametrize("first", FORMULA)
def test_no_text_of_a_csv_begins_as_a_formula(first: str, shell: Shell) -> None:
    """Nor with a tab or a return, which spreadsheets pass over (P4)."""
    given = entries.grant(shell.account, 1)
    reason = json.dumps(first + "x").encode()
    state = given.state + b',"reason":' + reason
    shell.history.append(type(given)(given.kind, given.stream, given.account, given.amount, state))
    text = shell.run("ledger", "statement", "--account", str(shell.account), "--csv")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[-1]["description"] == "'" + first.replace("\r", " ") + "x"


def test_a_statement_is_csv_that_no_spreadsheet_runs(shell: Shell) -> None:
    """Exact decimals beside the integers; a text is a text (P4)."""
    lot = new_uuid7()
    given = entries.grant(shell.account, 1_500_000_000, lot=lot)
    state = given.state + b',"reason":"=HYPERLINK(\\"x\\")"'
    shell.history.append(type(given)(given.kind, given.stream, given.account, given.amount, state))
    text = shell.run("ledger", "statement", "--account", str(shell.account), "--csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert rows[-1]["amount_usd"] == "1.500000000"
    assert rows[-1]["amount_nano_usd"] == "1500000000"
    assert rows[-1]["description"] == '\'=HYPERLINK("x")'
    assert len(rows) == shell.statement()[-1]["statement"]["lines"]


def test_a_replay_is_of_one_account_at_any_time(shell: Shell) -> None:
    """By position or by instant; other accounts are left out (P6)."""
    then = shell.now()
    position = [line for line in shell.lines("ledger", "replay") if "position" in line][-1][
        "position"
    ]
    shell.history.append(entries.grant(shell.account, 5))
    account = ("--account", str(shell.account))
    now = shell.lines("ledger", "replay", *account)
    assert {each["account_id"] for each in now[:-1]} == {str(shell.account)}
    before = shell.lines("ledger", "replay", *account, "--to", then)
    assert before == shell.lines("ledger", "replay", *account, "--to", str(position))
    difference = [each["balance"]["granted_nano_usd"] for each in (now[-1], before[-1])]
    assert difference[0] - difference[1] == 5
    assert shell.run("ledger", "replay", "--to", YESTERDAY[:10]) == ""
    assert "no time zone" in shell.run("ledger", "replay", "--to", "2026-01-01T00:00", status=1)


def test_a_stream_is_shown_with_its_account_as_of_then(shell: Shell) -> None:
    """The balance is of all that the account did, not of the one call (P6)."""
    call = new_uuid7()
    shell.history.append(entries.hold(call, shell.account, 9))
    *events, balance = shell.lines("ledger", "replay", "--stream", f"call-{call}")
    assert [each["type"] for each in events] == ["ledger.hold_placed.v1"]
    whole = shell.lines("ledger", "replay", "--account", str(shell.account))[-1]
    assert balance == whole
    assert balance["balance"]["held_nano_usd"] == 9


def test_verify_names_outcomes_that_were_put_aside(shell: Shell) -> None:
    """A file in quarantine is a call whose outcome the log lacks (P2)."""
    folder = shell.home / f"spool/{new_uuid7()}/{QUARANTINE}"
    folder.mkdir(parents=True)
    (folder / "x.json").write_text("{")
    assert shell.run("ledger", "verify", status=1) == ""
    text = shell.printed("ledger", "verify")
    assert f"DIFFERENCE  {folder / 'x.json'}: an outcome in quarantine" in text
    assert f"not shown: {NOT_SHOWN}" in text
    assert "the books are right" not in text
    report = json.loads(shell.printed("ledger", "verify", "--json"))
    assert report["ok"] is False
    assert report["quarantined"] == [str(folder / "x.json")]
    assert report["not_shown"] == NOT_SHOWN
    (folder / "x.json").unlink()
    assert shell.run("ledger", "verify").endswith("the books are right\n")


def test_a_day_is_its_beginning_in_utc() -> None:
    """An instant has a zone; a day alone is UTC's (P6)."""
    assert instant("2027-01-01") == datetime(2027, 1, 1, tzinfo=UTC)
    assert instant("2027-01-01T01:00:00+01:00") == datetime(2027, 1, 1, tzinfo=UTC)
    with pytest.raises(ValueError, match="no time zone"):
        instant("2027-01-01T00:00:00")
    with pytest.raises(ValueError, match="tomorrow"):
        instant("tomorrow")


def test_users_are_listed_and_shown(shell: Shell, database: Database) -> None:
    """By id, and by page; with the balance of the ledger and masked keys (rule: contract)."""
    first, second, gone = shell.lines("user", "list", "--left")
    assert shell.lines("user", "list") == [first, second]
    assert shell.lines("user", "list", "--limit", "1") == [first]
    assert shell.lines("user", "list", "--left", "--after", first["user_id"]) == [second, gone]
    assert [each["left"] for each in (first, second, gone)] == [False, False, True]
    assert shell.run("user", "list", "--left").count("(left)") == 1
    assert "is no user's id" in shell.run("user", "list", "--after", "x", status=1)
    (shown,) = shell.lines("user", "show", first["user_id"])
    balance = shell.lines("ledger", "replay", "--account", first["account_id"])[-1]["balance"]
    for name in ("granted_nano_usd", "available_nano_usd", "held_nano_usd"):
        assert shown[name] == first[name] == balance[name]
    assert [key["revoked"] for key in shown["keys"]] == [False, True, False]
    assert first["active_keys"] == 2
    with database.connect() as connection:
        hashes = connection.execute("SELECT key_hash FROM api_key").fetchall()
    assert hashes
    assert not any(str(row[0]) in str(shown) for row in hashes)
    text = shell.run("user", "show", first["user_id"])
    assert "(revoked)" in text
    assert first["account_id"] in shell.run("user", "list")
    assert "there is no user" in shell.run("user", "show", str(new_uuid7()), status=1)
    # The secret of this database is elsewhere: nothing is made in its place.
    assert "name the user by id" in shell.run("user", "show", "a@example.com", status=1)
    assert not (shell.home / "secret.key").exists()
    (shell.home / "secret.key").write_bytes(SECRET)
    known = Users(database, Vault(SECRET), actor="test")
    try:
        made = known.create_user("a@example.com")
    finally:
        known.close()
    assert shell.lines("user", "show", "A@example.com")[0]["user_id"] == made.user_id


def test_what_has_expired_is_not_available(shell: Shell) -> None:
    """Though no append has booked it yet (money rule 9)."""
    before = shell.lines("user", "list")[0]
    end = datetime.now(UTC) + timedelta(seconds=1)
    account = UUID(before["account_id"])
    shell.history.append(entries.grant(account, 500, expires_at=to_iso(end)))
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 0.1)
    after = shell.lines("user", "list")[0]
    assert after["granted_nano_usd"] == before["granted_nano_usd"] + 500
    assert after["available_nano_usd"] == before["available_nano_usd"]
    known = ("ledger", "replay", "--account", str(account))
    balance = shell.lines(*known)[-1]["balance"]
    assert balance["of_which_expired_nano_usd"] >= 500
    earlier = shell.lines(*known, "--to", to_iso(end - timedelta(milliseconds=1)))[-1]["balance"]
    assert balance["of_which_expired_nano_usd"] - earlier["of_which_expired_nano_usd"] == 500


def test_a_closing_balance_is_what_can_be_spent(shell: Shell) -> None:
    """What has expired is no part of it, booked or not, whenever it is asked (money rule 9, P6)."""
    last = shell.statement()[-1]["statement"]["closing_nano_usd"]
    begin, end = shell.now(), datetime.now(UTC) + timedelta(seconds=1)
    shell.history.append(entries.grant(shell.account, 500, expires_at=to_iso(end)))
    time.sleep(max(0.0, (end - datetime.now(UTC)).total_seconds()) + 0.1)
    cut = to_iso(datetime.now(UTC))

    def told(*period: str) -> tuple[list[tuple[str, int]], int, int]:
        *lines, ends = shell.statement(*period)
        found = [
            (each["line"]["transaction_type"], each["line"]["amount_nano_usd"]) for each in lines
        ]
        for each, after in pairwise(lines):
            before = after["line"]["balance_after_nano_usd"] - after["line"]["amount_nano_usd"]
            assert each["line"]["balance_after_nano_usd"] == before
        return found, *(ends["statement"][f"{name}_nano_usd"] for name in ("opening", "closing"))

    periods = (("--from", begin, "--to", cut), ("--from", cut), ("--from", begin))
    early, late, whole = (told(*each) for each in periods)
    assert early[0][-2:] == [("bonus", 500), ("breakage", -500)]
    assert early[2] == late[1] == late[2] == whole[2] == last
    assert late[0] == []
    line = shell.statement("--to", cut)[-2]
    assert (line["line"]["booked_at"], line["line"]["position"]) == (None, None)
    assert line["line"]["effective_at"] == to_iso(end)
    balance = shell.lines("ledger", "replay", "--account", str(shell.account))[-1]["balance"]
    spendable = balance["available_nano_usd"] - balance["of_which_expired_nano_usd"]
    assert whole[2] == spendable + balance["held_nano_usd"]
    csv_ = ("ledger", "statement", "--account", str(shell.account), "--csv")
    rows = list(csv.DictReader(io.StringIO(shell.run(*csv_))))
    assert int(rows[-1]["balance_after_nano_usd"]) == last
    assert "not booked yet" in shell.run(*csv_[:-1])
    shell.history.append(entries.hold(new_uuid7(), shell.account, 1))
    assert [told(*each) for each in periods] == [early, late, whole]


@pytest.mark.parametrize("verb", ["statement", "replay"])
def test_an_account_that_nobody_has_is_refused(verb: str, shell: Shell) -> None:
    """Noughts would look like an account's without events (rule: refuse clearly)."""
    unknown = str(new_uuid7())
    said = shell.run("ledger", verb, "--account", unknown, status=1)
    assert said == f"gatewayz: there is no account {unknown}: `gatewayz user list` names all\n"
    (shell.home / "secret.key").write_bytes(SECRET)
    known = Users(shell.database, Vault(SECRET), actor="test")
    try:
        account = known.create_user("new@example.com").account_id
    finally:
        known.close()
    for period in ((), ("--to", YESTERDAY)):
        assert shell.run("ledger", verb, "--account", account, *period) != ""
