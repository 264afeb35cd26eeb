"""Limits are set from the command line, stand in the log, and in the inline state beside it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from command_api.limits.commands import SYSTEM, LimitCommands, list_limits
from domain.errors import InvalidCommandError
from domain.limits.rates import PLANS, LimitScope, RateLimits, SetBy
from domain.limits.settings import Target
from event_store.ids import new_uuid7_text
from event_store.log.reading import read_after

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database


@pytest.fixture
def commands(database: Database) -> Iterator[LimitCommands]:
    """The commands on the test's database."""
    made = LimitCommands(database, actor="test")
    yield made
    made.close()


def a_key() -> Target:
    """A key of nobody in particular."""
    return Target(LimitScope.KEY, new_uuid7_text(), SetBy.OPERATOR)


def topics(database: Database) -> list[str]:
    """The types of all events."""
    with database.connect() as connection:
        return [entry.event.TOPIC for entry in read_after(connection, 0)]


def test_limits_add_up_until_they_are_cleared(database: Database, commands: LimitCommands) -> None:
    """What is set stands beside what was; the table says what the log says (money rule 13, P8)."""
    key = a_key()
    assert commands.set([key], {"requests_per_minute": 5}) == [RateLimits(5)]
    assert commands.set([key], {"burst": 2}) == [RateLimits(5, burst=2)]
    assert commands.set([key], {"burst": 2}) == [RateLimits(5, burst=2)]
    (found,) = list_limits(database)
    assert (found.target, found.limits) == (key, RateLimits(5, burst=2))
    assert commands.clear(key)
    assert not commands.clear(key)
    assert list_limits(database) == []
    assert topics(database) == ["rate_limits.set.v1"] * 2 + ["rate_limits.cleared.v1"]


def test_many_are_set_together_or_not_at_all(database: Database, commands: LimitCommands) -> None:
    """A limit that cannot be leaves nothing behind (money rule 13)."""
    with pytest.raises(InvalidCommandError):
        commands.set([a_key(), SYSTEM], {"requests_per_minute": 10**18})
    assert list_limits(database) == []
    commands.set([a_key(), SYSTEM], {"requests_per_minute": 0})
    assert [each.limits for each in list_limits(database)] == [RateLimits(0)] * 2


def test_a_plan_is_a_ceiling(database: Database, commands: LimitCommands) -> None:
    """Limits of a user never show above it (money rule 13)."""
    user = Target(LimitScope.USER, new_uuid7_text(), SetBy.OPERATOR)
    commands.set([user], {}, "premium")
    commands.set([user], {"requests_per_minute": 10_000, "requests_per_hour": 1})
    (found,) = list_limits(database)
    assert found.effective == PLANS["premium"]._replace(requests_per_hour=1)
    assert found.shown()["plan"] == "premium"


def test_changes_are_numbered(database: Database, commands: LimitCommands) -> None:
    """Whoever lost a notice sees by the number that something changed (rule: observable)."""
    key = a_key()

    def change() -> int:
        with database.connect() as connection:
            row = connection.execute("SELECT max(change) FROM rate_limit").fetchone()
        assert row is not None
        return int(row[0])

    commands.set([key], {"burst": 1})
    first = change()
    commands.clear(key)
    assert change() > first


def shown(line: str) -> dict[str, Any]:
    """A line of JSON."""
    found: dict[str, Any] = json.loads(line)
    return found
