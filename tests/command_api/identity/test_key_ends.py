"""A key ends at its instant, and a rotated one opens under two writings for a while."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from typer.testing import CliRunner

from command_api.cli.main import app
from command_api.identity import keys as module
from domain.errors import InvalidCommandError
from domain.identity.api_keys import KeyChangedError, rotate_api_key
from domain.identity.key_format import Environment, is_key, mask_key
from event_store.locks import Lock
from projections.hosting.verify import verify
from tests.support.harness import eventually, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream


@pytest.fixture
def gateway(
    database: Database, tmp_path: Path, upstream: ScriptedUpstream
) -> Iterator[RunningGateway]:
    """One that would keep a key in its cache for an hour."""
    with running_gateway(database, tmp_path / "home", upstream, key_cache_s=3600) as serving:
        yield serving


def status(gateway: RunningGateway, user: NewUser, api_key: str) -> int:
    """What a call with this key gets."""
    got = gateway.chat(replace(user, api_key=api_key), {})
    if got.status_code == 401:
        assert got.json()["error"]["code"] == "invalid_api_key"
        assert "past its end, or was replaced" in got.json()["error"]["message"]
    return got.status_code


def test_a_key_opens_until_its_end(gateway: RunningGateway) -> None:
    """To the instant, though it is cached (rule: access)."""
    user, known = gateway.user(), gateway.users()
    end = datetime.now(UTC) + timedelta(seconds=2)
    _, key = known.create_key(user.user_id, "short", Environment.TEST, end)
    assert is_key(key)
    assert key.startswith("gw_test_")
    while datetime.now(UTC) < end - timedelta(seconds=0.3):
        assert status(gateway, user, key) == 200
        time.sleep(0.05)
    time.sleep(0.4)
    assert status(gateway, user, key) == 401
    assert status(gateway, user, user.api_key) == 200
    for past in (datetime.now(UTC) - timedelta(days=1), datetime.min.replace(tzinfo=UTC)):
        with pytest.raises(InvalidCommandError, match="cannot end before it begins"):
            known.create_key(user.user_id, "past", expires_at=past)
    known.close()
    assert verify(gateway.database).differences == []


def test_a_rotated_key_opens_under_both_writings_for_the_grace(gateway: RunningGateway) -> None:
    """Then under the new one; the key is the same, on events too (rule: access)."""
    user, known = gateway.user(), gateway.users()
    assert status(gateway, user, user.api_key) == 200
    key_id, new, _ = known.rotate_key(user.api_key, timedelta(seconds=2))
    assert key_id == user.key_id
    assert status(gateway, user, new) == 200
    assert status(gateway, user, user.api_key) == 200
    eventually(lambda: status(gateway, user, user.api_key) == 401)
    assert status(gateway, user, new) == 200
    _, newer, _ = known.rotate_key(user.key_id, timedelta())
    eventually(lambda: status(gateway, user, new) == 401)
    assert status(gateway, user, newer) == 200
    known.revoke_key(user.api_key, "the oldest writing names the key too")
    eventually(lambda: gateway.chat(replace(user, api_key=newer), {}).status_code == 401)
    with pytest.raises(InvalidCommandError, match="was revoked"):
        known.rotate_key(newer, timedelta())
    known.close()
    assert verify(gateway.database).differences == []


def test_a_key_opens_in_the_environment_that_stands_in_it(gateway: RunningGateway) -> None:
    """Its text written for another one is no key, nor is any other writing of it (rule: access)."""
    user = gateway.user()
    for written in ("gw_test_", "gw_dev_", "GW_LIVE_", "gw_live", " gw_live_"):
        key = user.api_key.replace("gw_live_", written, 1)
        got = gateway.chat(replace(user, api_key=key), {})
        expected = 200 if written == " gw_live_" else 401
        assert got.status_code == expected, written


def test_rotations_at_once_come_one_after_the_other(gateway: RunningGateway) -> None:
    """Nobody is left with a key that opens nothing without a word (rule: two commands)."""
    user, known = gateway.user(), [gateway.users() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda each: each.rotate_key(user.key_id, timedelta()), known))
    opening = [key for _, key, _ in made if status(gateway, user, key) == 200]
    assert len(opening) == 1
    for each in known:
        each.close()
    assert verify(gateway.database).differences == []


def test_what_was_decided_too_late_is_refused(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where somebody takes no lock, as an older release (rule: refuse clearly)."""
    user, first, second = gateway.user(), gateway.users(), gateway.users()

    def late(*given: object, **more: object) -> object:
        monkeypatch.setattr(module, "rotate_api_key", rotate_api_key)
        with monkeypatch.context() as unlocked:
            unlocked.setattr(module, "Lock", SimpleNamespace(KEYS=Lock.KEYS + 1_000))
            second.revoke_key(user.key_id, "in between")
        return rotate_api_key(*given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "rotate_api_key", late)
    with pytest.raises(KeyChangedError, match="by somebody else at this moment"):
        first.rotate_key(user.key_id, timedelta())
    first.close()
    second.close()


def test_the_verbs_of_keys(database: Database, tmp_path: Path) -> None:
    """Made with an end, rotated, shown, as an operator does it (rule: contract)."""

    def run(*arguments: str) -> dict[str, Any]:
        done = CliRunner().invoke(
            app,
            [*arguments, "--home", str(tmp_path), "--json"],
            env={"GATEWAYZ_DATABASE_URL": database.owner},
        )
        assert done.exit_code == 0, done.output
        said: dict[str, Any] = msgspec.json.decode(done.stdout)
        return said

    user = run("user", "create", "--email", "ann@example.com")
    made = run(
        *("key", "create", "--user", "ann@example.com", "--name", "night"),
        *("--environment", "development", "--expires-at", "2999-01-01"),
    )
    assert made["api_key"].startswith("gw_dev_")
    assert made["expires_at"] == "2999-01-01T00:00:00.000000Z"
    rotated = run("key", "rotate", made["api_key"], "--grace-hours", "0")
    assert rotated["key_id"] == made["key_id"]
    assert rotated["api_key"].startswith("gw_dev_")
    shown = run("user", "show", user["user_id"])
    assert shown["active_keys"] == 2
    assert shown["keys"][1] == {
        "key_id": made["key_id"],
        "name": "night",
        "masked": mask_key(rotated["api_key"]),
        "revoked": False,
        "expires_at": made["expires_at"],
    }
    text = CliRunner().invoke(
        app,
        ["user", "show", user["user_id"], "--home", str(tmp_path)],
        env={"GATEWAYZ_DATABASE_URL": database.owner},
    )
    assert "night (ends 2999-01-01T00:00:00.000000Z)" in text.stdout
