"""Cells: what calls count on instead of all the quotas that bind them, and what they are lent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from event_store.append.entries import AppendCode, Entry, UnpackableEntryError, pack
from event_store.beside.quotas import read_quotas
from event_store.ids import new_uuid7
from event_store.log.reading import read_stream
from projections.hosting.verify import verify
from tests.event_store.append.test_append import append
from tests.support import entries
from tests.support.quotas import set_quota

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT, KEY, USER, PROJECT, ORGANISATION, SECOND = (UUID(int=n, version=4) for n in range(1, 7))
OK, EXCEEDED = AppendCode.OK, AppendCode.QUOTA_EXCEEDED
CELLS_MAX = 256


def hold(*scopes: UUID, amount: int = 1, tokens: int = 0) -> Entry:
    """A hold of these scopes."""
    return entries.hold(new_uuid7(), ACCOUNT, amount, tokens=tokens, scopes=scopes)


def codes(database: Database, *batch: Entry) -> list[int]:
    """The answers to a batch."""
    return [each.code for each in append(database, *batch)]


def rows(database: Database, sql: str) -> list[tuple[Any, ...]]:
    """What a query gives."""
    with database.connect() as connection:
        return connection.execute(sql.encode()).fetchall()


@pytest.mark.parametrize("beside", [0, 4], ids=["alone", "in a batch"])
@pytest.mark.parametrize(("kind", "scope"), [("project", PROJECT), ("organisation", ORGANISATION)])
def test_projects_and_organisations_bind_their_calls(
    database: Database, kind: str, scope: UUID, beside: int
) -> None:
    """And none of the same key without them (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    quota = set_quota(database, ACCOUNT, kind, scope, "requests", "total", 2 + beside)
    whole = (KEY, USER, PROJECT, ORGANISATION)
    assert codes(database, hold(*whole)) == [OK]
    others = [hold(*whole) for _ in range(beside)]
    assert codes(database, hold(*whole), *others) == [OK] * (1 + beside)
    assert codes(database, hold(*whole), hold(KEY, USER)) == [EXCEEDED, OK]
    with database.connect() as connection:
        (seen,) = read_quotas(connection, ACCOUNT)
        assert (seen.quota_id, seen.held) == (quota, 2 + beside)
    assert verify(database).differences == []


def test_a_call_is_told_once_what_binds_it(database: Database) -> None:
    """Its hold names the windows, its end nothing that follows from the usage (P5)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    quota = set_quota(database, ACCOUNT, "key", KEY, "tokens", "total", 900)
    for _ in range(2):  # The quota is looked at, and then only the cell.
        placed = hold(KEY, USER, tokens=20)
        call = UUID(bytes=placed.stream)
        append(database, placed)
        append(database, entries.settle(call, ACCOUNT, 1))
        with database.connect() as connection:
            held, settled = (each.event for each in read_stream(connection, call))
        assert held.bound_by == {str(quota): "1970-01-01T00:00:00.000000Z"}  # type: ignore[attr-defined]
        assert held.held_tokens == 20  # type: ignore[attr-defined]
        assert settled.quotas == []  # type: ignore[attr-defined]
    assert verify(database).differences == []


def test_keys_share_what_their_user_has(database: Database) -> None:
    """Nobody is refused what another key was lent and has not used (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    set_quota(database, ACCOUNT, "user", USER, "requests", "total", 40)
    first, second = (KEY, USER), (SECOND, USER)
    assert codes(database, hold(*first)) == [OK]
    assert rows(database, "SELECT lent_requests FROM credit_account") == [(19,)]
    assert codes(database, hold(*second)) == [OK]
    # Two cells lend now, and none of them is at home.
    assert rows(database, "SELECT home_id FROM credit_account") == [(None,)]
    assert codes(database, *(hold(*scopes) for _ in range(4) for scopes in (first, second))) == (
        [OK] * 8
    )
    assert verify(database).differences == []
    assert codes(database, *(hold(*second) for _ in range(35))) == [OK] * 30 + [EXCEEDED] * 5
    assert codes(database, hold(*first)) == [EXCEEDED]
    assert rows(database, "SELECT used, held FROM quota_count") == [(0, 40)]
    assert verify(database).differences == []


def test_a_refused_key_leaves_the_others_what_they_are_lent(database: Database) -> None:
    """However often it tries, they are not looked at one by one for it (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    set_quota(database, ACCOUNT, "key", SECOND, "requests", "total", 0)
    set_quota(database, ACCOUNT, "key", KEY, "requests", "total", 100)
    assert codes(database, hold(KEY, USER)) == [OK]
    before = rows(database, "SELECT home_id FROM credit_account")
    assert before != [(None,)]
    assert codes(database, hold(SECOND, USER), hold(SECOND, USER)) == [EXCEEDED] * 2
    assert rows(database, "SELECT home_id FROM credit_account") == before
    assert verify(database).differences == []


def test_another_limit_takes_back_what_was_lent(database: Database) -> None:
    """A lowered one counts at once, also for what is lent already (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    set_quota(database, ACCOUNT, "key", KEY, "tokens", "total", 900)
    first = hold(KEY, USER, tokens=20)
    assert codes(database, first) == [OK]
    set_quota(database, ACCOUNT, "key", KEY, "tokens", "total", 30)
    assert codes(database, hold(KEY, USER, tokens=11)) == [EXCEEDED]
    assert codes(database, hold(KEY, USER, tokens=10)) == [OK]
    assert codes(database, entries.void(UUID(bytes=first.stream), ACCOUNT)) == [OK]
    assert rows(database, "SELECT used, held FROM quota_count") == [(0, 10)]
    assert verify(database).differences == []


def test_an_account_has_only_so_many_cells(database: Database) -> None:
    """Beyond them a hold names its windows itself, and is counted all the same (rule: bounded)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    set_quota(database, ACCOUNT, "account", ACCOUNT, "requests", "total", 3)
    with database.connect_as_owner() as connection:
        connection.execute(
            "INSERT INTO quota_cell (account_id, lot_id, until, live, holds, left_requests, "
            "left_tokens, left_nano_usd, scopes, quota_ids, begins, units, told) SELECT %s, "
            "gen_random_uuid(), 'infinity', false, 1, 0, 0, 0, 'x', '{}', '{}', '{}', '' "
            "FROM generate_series(1, %s)",
            [ACCOUNT, CELLS_MAX],
        )
    placed = [hold(KEY, USER) for _ in range(4)]
    assert codes(database, *placed) == [OK] * 3 + [EXCEEDED]
    assert rows(database, "SELECT count(*), count(cell_id) FROM open_hold") == [(3, 0)]
    ends = [entries.settle(UUID(bytes=each.stream), ACCOUNT, 1) for each in placed[:3]]
    assert codes(database, *ends) == [OK] * 3
    assert rows(database, "SELECT used, held FROM quota_count") == [(3, 0)]
    assert rows(database, "SELECT count(*) FROM quota_cell") == [(CELLS_MAX,)]


def test_an_id_of_a_scope_has_its_length() -> None:
    """Or the ids behind it would be others (rule: refuse clearly)."""
    placed = hold(KEY, USER)
    pack([placed], bytes(16), 60)
    short = Entry(placed.kind, placed.stream, placed.account, 1, placed.state, key_id=b"short")
    with pytest.raises(UnpackableEntryError, match="16 bytes"):
        pack([placed, short], bytes(16), 60)
