"""The verbs of API keys, as an operator types them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from typer.testing import CliRunner

from command_api.cli.main import app
from domain.identity.key_format import mask_key

if TYPE_CHECKING:
    from pathlib import Path

    from event_store.postgres.database import Database


class Shell:
    """Runs verbs on one home, with one user."""

    def __init__(self, database: Database, home: Path) -> None:
        """The user is made."""
        self._environment, self._home = {"GATEWAYZ_DATABASE_URL": database.owner}, str(home)
        (self.user,) = self.run("user", "create", "--email", "ann@example.com")

    def typed(self, *arguments: str) -> tuple[int, str]:
        """Exit status and output, as a person gets it."""
        done = CliRunner().invoke(app, [*arguments, "--home", self._home], env=self._environment)
        return done.exit_code, done.output

    def run(self, *arguments: str) -> list[dict[str, Any]]:
        """What the lines of JSON say."""
        status, output = self.typed(*arguments, "--json")
        assert status == 0, output
        return [msgspec.json.decode(line) for line in output.splitlines()]

    def key(self, *arguments: str) -> dict[str, Any]:
        """The one line of a verb of keys."""
        (said,) = self.run("key", *arguments)
        return said

    def create(self, *arguments: str) -> dict[str, Any]:
        """A key of the user."""
        return self.key("create", "--user", "ann@example.com", *arguments)


@pytest.fixture
def shell(database: Database, tmp_path: Path) -> Shell:
    """On a database of its own."""
    return Shell(database, tmp_path)


LIMITS = (
    *("--scope", "read:usage", "--scope", "write:*", "--ip", "10.0.0.0/8", "--ip", "::1"),
    *("--referrer", "Example.com", "--model", "local/*", "--provider", "local"),
)


def test_a_limited_key_is_made_and_shown(shell: Shell) -> None:
    """Named by its id or itself; masked (rule: contract, P5)."""
    made = shell.create("--name", "ci", *LIMITS)
    assert made.keys() == {"key_id", "api_key", "name", "environment", "expires_at"}
    for name in (made["key_id"], made["api_key"]):
        shown = shell.key("show", name)
        assert shown["api_key"] == mask_key(made["api_key"])
        assert shown["scope_permissions"]["read"] == ["usage"]
        assert "chat" in shown["scope_permissions"]["write"]
        assert shown["ip_allowlist"] == ["10.0.0.0/8", "::1"]
        assert shown["domain_referrers"] == ["example.com"]
        assert (shown["models"], shown["providers"]) == (["local/*"], ["local"])
        assert shown["user_id"] == shell.user["user_id"]
    status, text = shell.typed("key", "list", "--user", shell.user["user_id"])
    assert status == 0
    assert [line.split("  ")[2:4] for line in text.splitlines()] == [
        ["primary", "active"],
        ["ci", "active"],
    ]


def test_keys_without_a_name_get_one_each(shell: Shell) -> None:
    """As often as a script makes them (rule: contract)."""
    assert [shell.create()["name"] for _ in range(3)] == ["key", "key 2", "key 3"]
    status, text = shell.typed("key", "create", "--user", "ann@example.com", "--name", "key")
    assert (status, "already" in text) == (1, True)


def test_a_key_is_updated(shell: Shell) -> None:
    """List by list; what is lifted is gone (rule: contract)."""
    key = shell.create(*LIMITS)["key_id"]
    said = shell.key("update", key, "--name", "new", "--inactive", "--ip", "192.0.2.1")
    assert said == {"key_id": key, "status": "changed"}
    shown = shell.key("show", key)
    assert (shown["key_name"], shown["is_active"]) == ("new", False)
    assert (shown["ip_allowlist"], shown["models"]) == (["192.0.2.1"], ["local/*"])
    shell.key("update", key, "--active", "--expires-at", "2999-01-01", "--lift", "scopes")
    assert "ends 2999" in shell.typed("key", "list", "--user", "ann@example.com")[1]
    shown = shell.key("show", key)
    assert (shown["is_active"], shown["scope_permissions"]) == (True, {})
    assert shell.key("update", key, "--expires-at", "never")["status"] == "changed"
    assert shell.key("update", key, "--expires-at", "never")["status"] == "unchanged"
    assert shell.key("show", key)["expiration_date"] is None


def test_a_key_is_opted_in_to_the_cache(shell: Shell) -> None:
    """Made so, changed, and out again (rule: contract)."""
    key = shell.create("--cache-ttl-s", "60")["key_id"]
    assert shell.key("show", key)["cache"] == {"ttl_s": 60}
    shell.key("update", key, "--cache-ttl-s", "5", "--cache-max-age-s", "3")
    assert shell.key("show", key)["cache"] == {"ttl_s": 5, "max_age_s": 3}
    shell.key("update", key, "--cache-ttl-s", "5", "--cache-threshold", "0.9")
    semantic = {"threshold": "0.9", "scope": "key"}
    assert shell.key("show", key)["cache"] == {"ttl_s": 5, "semantic": semantic}
    shell.key("update", key, "--lift", "cache")
    assert shell.key("show", key)["cache"] == {}
    status, output = shell.typed("key", "update", key, "--cache-max-age-s", "3")
    assert status != 0
    assert "cache.ttl_s" in output


def test_all_keys_are_rotated(shell: Shell) -> None:
    """A line each, with the new writing (rule: contract)."""
    made = [shell.create("--environment", each)["key_id"] for each in ("live", "test")]
    assert [each["key_id"] for each in shell.run(*_rotate("--environment", "test"))] == made[1:]
    rotated = shell.run(*_rotate("--grace-hours", "0"))
    assert [each["key_id"] for each in rotated] == [shell.user["key_id"], *made]
    assert shell.typed("key", "show", rotated[0]["api_key"])[0] == 0
    status, text = shell.typed(*_rotate())
    assert (status, text.count("gw_live_"), text.count("gw_test_")) == (0, 2, 1)


def _rotate(*more: str) -> tuple[str, ...]:
    return ("key", "rotate", "--all", "--user", "ann@example.com", *more)


def test_a_key_is_deleted(shell: Shell) -> None:
    """And then is in no list; the last one stays (rule: contract)."""
    key = shell.create()["key_id"]
    assert shell.key("delete", key) == {"key_id": key, "status": "deleted"}
    assert len(shell.run("key", "list", "--user", "ann@example.com")) == 1
    assert len(shell.run("user", "show", "ann@example.com")[0]["keys"]) == 1
    for verb in ("show", "delete", "revoke", "rotate"):
        status, text = shell.typed("key", verb, key)
        assert (status != 0, "no such API key" in text) == (True, True)
    status, text = shell.typed("key", "delete", shell.user["key_id"])
    assert (status, "make another one first" in text) == (1, True)
    shell.key("revoke", shell.user["key_id"])
    assert "revoked" in shell.typed("key", "list", "--user", "ann@example.com")[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "--user", "ann@example.com", "--ip", "10.0.0.1/8"), "ip_allowlist"),
        (("create", "--user", "ann@example.com", "--scope", "read"), "there is no read scope"),
        (("create", "--user", "ann@example.com", "--scope", "x:y"), "no 'x' scopes"),
        (("create", "--user", "ann@example.com", "--name", " "), "printable"),
        (("create", "--user", "bob@example.com"), "there is no user"),
        (("update", "KEY"), "nothing to change"),
        (("update", "KEY", "--lift", "colours"), "there is no limit 'colours'"),
        (("update", "KEY", "--ip", "::1", "--lift", "ip_allowlist"), "do one of both"),
        (("update", "KEY", "--expires-at", "2020-01-01"), "make another one first"),
        (("rotate",), "name a key, or give --all"),
        (("rotate", "KEY", "--all"), "name a key, or give --all"),
        (("rotate", "--all"), "name a key, or give --all"),
        (("show", "gw_live_nothing"), "no such API key"),
        (("list", "--user", "bob@example.com"), "there is no user"),
    ],
)
def test_mistakes_are_told_in_a_line(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    """With a status, and nothing is done (rule: refuse clearly)."""
    typed = [shell.user["key_id"] if each == "KEY" else each for each in arguments]
    status, text = shell.typed("key", *typed)
    assert status != 0
    assert said in text
    assert len(text.splitlines()) == 1
