"""Quotas set and removed, as ordinary aggregates."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from command_api.identity.users import Users
from command_api.identity.vault import Vault
from command_api.quotas import commands as module
from command_api.quotas.commands import Quotas, Scope
from domain.errors import InvalidCommandError
from domain.quotas.terms import LIMIT_MAX, ScopeKind, Unit
from domain.quotas.windows import Window
from event_store.beside.quotas import read_quotas
from event_store.log.aggregates import Aggregates
from projections.hosting.verify import verify
from tests.support.history import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from event_store.postgres.database import Database

ACCOUNT, USER = UUID(int=1, version=4), UUID(int=2, version=4)
SCOPE = Scope(kind=ScopeKind.USER, scope_id=USER, account_id=ACCOUNT)
TOKENS, DAY = Unit.TOKENS, Window.DAY


@pytest.fixture
def quotas(database: Database) -> Iterator[Quotas]:
    """The commands."""
    aggregates = Aggregates(database)
    yield Quotas(database, aggregates, actor="test")
    aggregates.close()


def test_the_last_limit_counts(quotas: Quotas, database: Database) -> None:
    """Set twice alike it changes nothing; removed and set, it is the same quota (money rule 13)."""
    made, changed = quotas.set(SCOPE, TOKENS, DAY, 5)
    assert changed
    assert quotas.set(SCOPE, TOKENS, DAY, 5) == (made, False)
    assert quotas.set(SCOPE, TOKENS, DAY, 7, "Asia/Tokyo") == (made, True)
    with database.connect() as connection:
        (quota,) = read_quotas(connection, ACCOUNT)
    assert (quota.limit, quota.zone, quota.scope_id) == (7, "Asia/Tokyo", USER)
    assert quotas.remove(SCOPE, TOKENS, DAY) == (made, True)
    assert quotas.remove(SCOPE, TOKENS, DAY) == (made, False)
    with database.connect() as connection:
        assert read_quotas(connection, ACCOUNT) == []
    assert quotas.set(SCOPE, TOKENS, DAY, 7, "Asia/Tokyo") == (made, True)
    assert verify(database).differences == []


@pytest.mark.parametrize("limit", [-1, LIMIT_MAX + 1, 2**63, -(2**64)])
def test_a_limit_that_cannot_be_is_refused(quotas: Quotas, database: Database, limit: int) -> None:
    """Before anything is saved (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match="limit"):
        quotas.set(SCOPE, TOKENS, DAY, limit)
    with database.connect() as connection:
        assert read_quotas(connection, ACCOUNT) == []


@pytest.mark.parametrize("zone", ["", "Mars/Olympus", "UTC'; DROP", "a" * 200, "<+03>-3", "../x"])
def test_a_zone_that_is_none_is_refused(quotas: Quotas, zone: str, database: Database) -> None:
    """One that the database does not know would fail every hold (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match="zone"):
        quotas.set(SCOPE, TOKENS, DAY, 5, zone)
    with database.connect() as connection:
        assert read_quotas(connection, ACCOUNT) == []


def test_what_was_never_set_cannot_be_removed(quotas: Quotas) -> None:
    """It says what there is none of (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match="no quota of tokens by day"):
        quotas.remove(SCOPE, TOKENS, DAY)
    with pytest.raises(InvalidCommandError, match="no key"):
        quotas.scope_of_key("nobody")


def test_keys_are_named_by_id(quotas: Quotas, database: Database) -> None:
    """And bring the account that pays (money rule 13)."""
    users = Users(database, Vault(SECRET), actor="test")
    try:
        user = users.create_user("ann@example.com")
    finally:
        users.close()
    scope = quotas.scope_of_key(user.key_id)
    assert (str(scope.scope_id), str(scope.account_id)) == (user.key_id, user.account_id)


def test_an_account_has_so_many_at_most(quotas: Quotas, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that there are may still be changed (rule: bounded)."""
    monkeypatch.setattr(module, "QUOTAS_PER_ACCOUNT_MAX", 1)
    quotas.set(SCOPE, TOKENS, DAY, 5)
    with pytest.raises(InvalidCommandError, match="cannot have more"):
        quotas.set(SCOPE, TOKENS, Window.MONTH, 5)
    assert quotas.set(SCOPE, TOKENS, DAY, 6)[1]
