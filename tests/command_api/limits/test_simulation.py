"""`gatewayz limit simulate`: real traffic, held against limits that were, and that were not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from command_api.cli.main import app
from command_api.limits import simulation as module
from command_api.limits.commands import LimitCommands, list_limits
from command_api.limits.simulation import read_limits, simulate
from domain.errors import InvalidCommandError
from domain.limits.rates import LimitScope, SetBy
from domain.limits.settings import Target
from event_store.ids import to_iso
from event_store.log.reading import position_at, read_after

if TYPE_CHECKING:
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway


def now() -> datetime:
    """The present."""
    return datetime.now(UTC)


def held_against(gateway: RunningGateway, begin: datetime, *limits: dict[str, Any]) -> Any:
    """The report on all calls since an instant."""
    raw = "\n".join(json.dumps(each) for each in limits).encode()
    told: list[tuple[int, int]] = []
    report = simulate(
        gateway.database,
        read_limits(raw),
        begin,
        now(),
        lambda done, total: told.append((done, total)),
    )
    assert told[-1][0] == told[-1][1]
    return report


def limited(gateway: RunningGateway, user: NewUser, **limits: int) -> None:
    """Limit a user's key, as an operator."""
    commands = LimitCommands(gateway.database, actor="test")
    commands.set([Target(LimitScope.KEY, user.key_id, SetBy.OPERATOR)], limits)
    commands.close()


def test_traffic_under_the_limits_that_were_in_force_is_admitted(gateway: RunningGateway) -> None:
    """And under lower ones so much is refused as is beyond them, by whom (money rule 13)."""
    begin = now()
    user, other = gateway.user(), gateway.user()
    limited(gateway, user, requests_per_minute=4, tokens_per_hour=10**6)
    statuses = [gateway.chat(user, {}).status_code for _ in range(6)]
    assert statuses == [200] * 4 + [429] * 2
    for _ in range(3):
        assert gateway.chat(other, {}).status_code == 200
    end = now()
    in_force = [each.shown() for each in list_limits(gateway.database)]
    report = held_against(gateway, begin, *in_force)
    assert (report.requests, report.refused, report.lines()) == (7, 0, [])
    report = held_against(gateway, begin, {"scope": "key", "id": "*", "requests_per_minute": 2})
    assert (report.requests, report.refused) == (7, 3)
    first, second = report.lines()
    assert {name: first[name] for name in ("scope", "scope_id", "reason", "limit", "refused")} == {
        "scope": "key",
        "scope_id": user.key_id,
        "reason": "Minute request limit exceeded",
        "limit": 2,
        "refused": 2,
    }
    assert (first["key_id"], first["user_id"]) == (user.key_id, user.user_id)
    assert to_iso(begin) < first["first"] < first["last"] < to_iso(end)
    assert (second["scope_id"], second["refused"]) == (other.key_id, 1)
    assert second["first"] == second["last"]
    named = {"scope": "user", "id": other.user_id, "requests_per_hour": 1}
    report = held_against(gateway, begin, named, {"scope": "system", "requests_per_day": 6})
    assert [(each["scope"], each["refused"]) for each in report.lines()] == [("user", 2)]
    report = held_against(gateway, begin, {"scope": "system", "tokens_per_minute": 0})
    assert report.refused == 7


def test_only_the_time_that_is_asked_for_counts(gateway: RunningGateway) -> None:
    """From an instant on, and before another (rule: contract)."""
    user = gateway.user()
    assert gateway.chat(user, {}).status_code == 200
    middle = now()
    assert gateway.chat(user, {}).status_code == 200
    limits = read_limits(b'{"scope": "key", "id": "*", "requests_per_day": 1}')
    day = timedelta(days=1)
    for since, until, requests, refused in (
        (middle - day, middle, 1, 0),
        (middle, middle + day, 1, 0),
        (middle - day, middle + day, 2, 1),
        (middle + day, middle + 2 * day, 0, 0),
        (middle - 2 * day, middle - day, 0, 0),
    ):
        report = simulate(gateway.database, limits, since, until, lambda *_: None)
        assert (report.requests, report.refused) == (requests, refused)
    with pytest.raises(InvalidCommandError, match="before"):
        simulate(gateway.database, limits, middle, middle, lambda *_: None)


def test_a_position_is_found_by_its_instant(gateway: RunningGateway) -> None:
    """The last event that was booked by then, wherever it lies (P7)."""
    user = gateway.user()
    for _ in range(4):
        gateway.chat(user, {})
    step = timedelta(microseconds=1)
    with gateway.database.connect() as connection:
        entries = read_after(connection, 0, 10_000)
        for entry in entries:
            for instant in (entry.booked_at - step, entry.booked_at, entry.booked_at + step):
                found = [each.position for each in entries if each.booked_at <= instant]
                assert position_at(connection, instant) == max(found, default=0)


def test_a_report_ends_somewhere(gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is refused beyond its lines is counted (rule: bounded)."""
    monkeypatch.setattr(module, "REFUSED_MAX", 1)
    begin = now()
    for _ in range(3):
        assert gateway.chat(gateway.user(), {}).status_code == 200
    report = held_against(gateway, begin, {"scope": "key", "id": "*", "burst": 0})
    assert (report.refused, report.not_listed, len(report.lines())) == (3, 2, 1)


BAD: list[tuple[str, str]] = [
    ("", "has 0 limits"),
    ("\n\n", "has 0 limits"),
    ("{", "line 1"),
    ('{"scope": "system", "burst": 1}\n{"scope": "key"}', "line 2"),
    ('{"scope": "plan", "id": "*", "burst": 1}', "line 1"),
    ('{"scope": "team", "id": "*", "burst": 1}', "line 1"),
    ('{"scope": "key", "burst": 1}', "id must be that of the key"),
    ('{"scope": "key", "id": "x", "burst": 1}', "id must be that of the key"),
    ('{"scope": "system", "id": "x", "burst": 1}', "no id"),
    ('{"scope": "key", "id": "*", "plan": "premium"}', "a plan is of a user"),
    ('{"scope": "user", "id": "*", "plan": "gold"}', "no plan 'gold'"),
    ('{"scope": "key", "id": "*", "burst": -1}', "burst must be between"),
    ('{"scope": "key", "id": "*", "burst": 1e99}', "line 1"),
    ('{"scope": "key", "id": "*", "bursts": 1}', "line 1"),
    ('{"scope": "key", "id": "*"}', "name at least one limit"),
    ("[]", "line 1"),
    ('{"scope": "key", "id": "*", "burst": 1}\n' * 100_001, "has 100001 limits"),
    ("x" * 17 * 1024 * 1024, "larger than"),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=range(len(BAD)))
def test_a_file_that_cannot_be_read_is_told(text: str, said: str) -> None:
    """With the line that is wrong, in a short message (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match=said) as error:
        read_limits(text.encode())
    assert len(str(error.value)) < 300
    with pytest.raises(InvalidCommandError, match="line 1"):
        read_limits(b"\xff\xfe")


def test_a_user_on_a_plan_has_its_limits() -> None:
    """And of two lines for one the lower ones (money rule 13)."""
    plan = read_limits(b'{"scope": "user", "id": "*", "plan": "default", "burst": 3}')
    ((_, limits),) = plan.items()
    assert (limits.burst, limits.requests_per_minute) == (3, 250)
    both = read_limits(
        b'{"scope": "system", "burst": 3}\n\n{"scope": "system", "burst": 2, "concurrency": 9}'
    )
    ((_, limits),) = both.items()
    assert (limits.burst, limits.concurrency) == (2, 9)


def test_the_verb_prints_who_and_how_often(
    database: Database, gateway: RunningGateway, tmp_path: Path
) -> None:
    """For people and programs, so many lines and no more (rule: contract, rule: bounded)."""
    begin = now()
    users = [gateway.user() for _ in range(2)]
    for each in users:
        for _ in range(2):
            assert gateway.chat(each, {}).status_code == 200
    file = tmp_path / "limits.jsonl"
    file.write_text('{"scope": "key", "id": "*", "requests_per_minute": 1}\n')

    def run(*words: str, status: int = 0, limits: str = str(file)) -> str:
        given = ["--limits", limits, "--from", to_iso(begin), "--to", to_iso(now()), *words]
        done = CliRunner().invoke(
            app,
            ["limit", "simulate", *given, "--home", str(tmp_path / "none")],
            env={"GATEWAYZ_DATABASE_URL": database.owner},
        )
        assert done.exit_code == status, done.output
        return str(done.output if status else done.stdout)

    told = json.loads(run("--json", "--limit", "1"))
    assert (told["requests"], told["admitted"], told["refused"]) == (4, 2, 2)
    assert (len(told["refusals"]), told["lines_left_out"]) == (1, 1)
    text = run()
    assert text.count("Minute request limit exceeded (1)") == 2
    assert all(each.key_id in text for each in users)
    assert "and 1 lines more" in run("--limit", "1")
    assert "No such file" in run(status=1, limits=str(tmp_path / "absent"))
    file.write_text("{")
    assert "line 1 of the file" in run(status=1)
    file.write_text('{"scope": "system", "burst": 1}')
    assert "before" in run("--to", "2020-01-01", status=1)
    assert "no time zone" in run("--to", "2020-01-01T00:00", status=1)
