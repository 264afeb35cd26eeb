"""Quotas in the append: exact at any concurrency, all or nothing, in their windows."""

from __future__ import annotations

import asyncio
import multiprocessing
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.quotas.terms import quota_id
from event_store.append.committer import Committer
from event_store.append.entries import AppendAnswer, AppendCode, Entry
from event_store.beside.quotas import quota_numbered, read_quotas
from event_store.ids import new_uuid7
from event_store.log.aggregates import Aggregates
from event_store.log.reading import read_after, read_stream
from projections.hosting.verify import verify
from tests.support import entries
from tests.support.quotas import remove_quota, set_quota

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ACCOUNT, KEY, USER = (UUID(int=n, version=4) for n in (1, 2, 3))
OK, EXCEEDED = AppendCode.OK, AppendCode.QUOTA_EXCEEDED
PROCESSES = 8


def append(database: Database, *batch: Entry) -> list[AppendAnswer]:
    """Append entries as one process would."""

    async def run() -> list[AppendAnswer]:
        committer = Committer(
            database.application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=20
        )
        await committer.start()
        try:
            return await asyncio.gather(*[committer.append(entry) for entry in batch])
        finally:
            await committer.stop()

    return asyncio.run(run())


def one(database: Database, entry: Entry) -> AppendAnswer:
    """The answer to a single entry."""
    return append(database, entry)[0]


def hold(amount: int = 1, tokens: int = 0, **more: Any) -> Entry:
    """A hold of the key and its user."""
    return entries.hold(new_uuid7(), ACCOUNT, amount, tokens=tokens, scopes=(KEY, USER), **more)


def windows(database: Database) -> dict[str, tuple[int, int]]:
    """What every window counts, by the unit of its quota."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT q.unit, w.used, w.held FROM quota_count w JOIN quota q USING (quota_id)"
        ).fetchall()
    return {unit: (used, held) for unit, used, held in rows}


def _place(application: str, count: int, found: Any) -> None:
    """In a process of its own: so many holds, a few at once, and the settlement of each."""

    async def run() -> Counter[int]:
        committer = Committer(
            application, owner_id=new_uuid7(), hold_ttl_s=600, append_timeout_s=60
        )
        await committer.start()
        seen: Counter[int] = Counter()

        async def call() -> None:
            entry = hold(2, 10)
            answer = await committer.append(entry)
            seen[answer.code] += 1
            if answer.code == OK:
                end = entries.settle(UUID(bytes=entry.stream), ACCOUNT, 2, output=0)
                assert (await committer.append(end)).code == OK

        for _ in range(0, count, 20):
            await asyncio.gather(*(call() for _ in range(20)))
        await committer.stop()
        return seen

    found.put(dict(asyncio.run(run())))


@pytest.mark.parametrize(
    ("limits", "admitted"),
    [
        ({"requests": 70}, 70),
        ({"nano_usd": 91, "requests": 1_000}, 45),
    ],
    ids=["requests", "money"],
)
def test_many_processes_admit_exactly_the_limit(
    database: Database, limits: dict[str, int], admitted: int
) -> None:
    """Whatever is tried at once, not one more and not one fewer (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 10**9))
    for unit, limit in limits.items():
        set_quota(database, ACCOUNT, "key", KEY, unit, "total", limit)
    context = multiprocessing.get_context("spawn")
    found: Any = context.Queue()
    running = [
        context.Process(target=_place, args=(database.application, 40, found))
        for _ in range(PROCESSES)
    ]
    for each in running:
        each.start()
    seen: Counter[int] = Counter()
    for _ in running:
        seen.update(found.get(timeout=120))
    for each in running:
        each.join(30)
    assert seen == {OK: admitted, EXCEEDED: 40 * PROCESSES - admitted}
    assert windows(database)["requests"] == (admitted, 0)
    assert verify(database).differences == []


def test_a_trial_is_exact_at_any_concurrency(database: Database) -> None:
    """Its requests and its tokens, in batches and alone; then other credits pay (money rule 10)."""
    limits = {"requests": 30, "tokens": 205}
    append(database, entries.grant(ACCOUNT, 10**6, kind="trial", limits=limits))
    answers = append(database, *(hold(3, 10) for _ in range(50)))
    assert Counter(each.code for each in answers) == {OK: 20, EXCEEDED: 30}
    assert windows(database) == {"requests": (0, 20), "tokens": (0, 200)}
    answers = append(database, *(hold(3, 0) for _ in range(50)))
    assert Counter(each.code for each in answers) == {OK: 10, EXCEEDED: 40}
    append(database, entries.grant(ACCOUNT, 100))
    assert Counter(each.code for each in append(database, *(hold(3, 0) for _ in range(40)))) == {
        OK: 33,
        EXCEEDED: 7,
    }
    assert windows(database) == {"requests": (0, 30), "tokens": (0, 200)}
    assert verify(database).differences == []


FAIL = (
    "CREATE OR REPLACE FUNCTION ledger_append_in_order(kinds smallint[], streams uuid[], ix int[], "
    "accounts uuid[], amounts bigint[], aux bigint[], states bytea[], keys bytea[], "
    "follows uuid[], chosen boolean[], instant timestamptz, topics text[], owner uuid, ttl_s int, "
    "tokens bigint[], slots int[], scopes bytea[], INOUT codes smallint[], "
    "INOUT figures bigint[]) LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'in order'; END $$"
)


@pytest.mark.parametrize("keys", [1, 2])
def test_a_batch_that_has_room_goes_set_based(database: Database, keys: int) -> None:
    """With quotas and without, holds and outcomes, of one key or two (money rule 13)."""
    free, other = UUID(int=11, version=4), UUID(int=12, version=4)
    limits = {"requests": 100, "tokens": 10**6} if keys == 1 else None
    append(database, entries.grant(ACCOUNT, 10**6, kind="trial", limits=limits))
    append(database, *(entries.grant(each, 10**6) for each in (free, other)))
    set_quota(database, ACCOUNT, "key", KEY, "requests", "day", 70)
    set_quota(database, ACCOUNT, "user", USER, "nano_usd", "total", 700)
    set_quota(database, other, "account", other, "tokens", "month", 600)
    mine = [(KEY, USER), (UUID(int=13, version=4), USER)][:keys]

    def of_mine(number: int, amount: int, tokens: int) -> Entry:
        scopes = mine[number % keys]
        return entries.hold(new_uuid7(), ACCOUNT, amount, tokens=tokens, scopes=scopes)

    first = [of_mine(n, 1, 1) for n in range(keys)]
    first.append(entries.hold(new_uuid7(), other, 1, tokens=1, scopes=(KEY, USER)))
    for each in first:  # They are looked at one by one, and from then on there is something lent.
        assert one(database, each).code == OK
        append(database, entries.void(UUID(bytes=each.stream), UUID(bytes=each.account)))
    with database.connect_as_owner() as connection:
        connection.execute(FAIL.encode())

    def of_other(account: UUID) -> Entry:
        return entries.hold(new_uuid7(), account, 9, tokens=20, scopes=(KEY, USER))

    placed = [of_mine(number, 10, 20) for number in range(7)]
    placed += [of_other(other) for _ in range(3)] + [of_other(free) for _ in range(2)]
    answers = append(database, *placed)
    assert [each.code for each in answers] == [OK] * 12
    assert answers[0].figure == 10**6 - 70
    assert verify(database).differences == []
    ends = [entries.settle(UUID(bytes=each.stream), UUID(bytes=each.account), 6) for each in placed]
    ends[0] = entries.void(UUID(bytes=placed[0].stream), ACCOUNT)
    assert [each.code for each in append(database, *ends)] == [OK] * 12
    assert verify(database).differences == []
    with database.connect() as connection:
        rows = read_quotas(connection, ACCOUNT) + read_quotas(connection, other)
        of_lot = [("requests", "trial_lot", 6, 0), ("tokens", "trial_lot", 36, 0)]
        assert [(each.unit, each.scope_kind, each.used, each.held) for each in rows] == [
            *(of_lot if keys == 1 else ()),
            ("requests", "key", 6 if keys == 1 else 3, 0),
            ("nano_usd", "user", 36, 0),
            ("tokens", "account", 18, 0),
        ]
    with pytest.raises(Exception, match="in order"):
        append(database, *(hold(300, 1) for _ in range(3)))


def test_a_refusal_names_the_quota_and_leaves_nothing(database: Database) -> None:
    """No event, no key taken, nothing held on the credits or on another quota (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 100))
    wide = set_quota(database, ACCOUNT, "user", USER, "tokens", "month", 1_000)
    narrow = set_quota(database, ACCOUNT, "key", KEY, "nano_usd", "day", 9)
    key = bytes(range(64))
    refused = hold(10, 50, key=key)
    answer = one(database, refused)
    assert answer.code == EXCEEDED
    with database.connect() as connection:
        named = quota_numbered(connection, answer.figure)
        assert named is not None
        assert (named.quota_id, named.unit, named.limit, named.used, named.held) == (
            (narrow, "nano_usd", 9, 0, 0)
        )
        assert read_stream(connection, UUID(bytes=refused.stream)) == []
        assert {each.quota_id: each.held for each in read_quotas(connection, ACCOUNT)} == {
            wide: 0,
            narrow: 0,
        }
    set_quota(database, ACCOUNT, "key", KEY, "nano_usd", "day", 10)
    assert one(database, refused).code == OK


def test_the_windows_shown_are_those_of_now(database: Database) -> None:
    """With their end, where they have one; `total` never resets (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 100))
    set_quota(database, ACCOUNT, "key", KEY, "requests", "day", 5, zone="Asia/Kolkata")
    set_quota(database, ACCOUNT, "account", ACCOUNT, "tokens", "total", 50)
    other = UUID(int=9, version=4)
    set_quota(database, ACCOUNT, "key", other, "requests", "month", 5)
    assert one(database, hold(1, 20)).code == OK
    with database.connect() as connection:
        day, total = sorted(read_quotas(connection, ACCOUNT, [KEY]), key=lambda each: each.window)
        assert len(read_quotas(connection, ACCOUNT)) == 3
    now = datetime.now(UTC)
    assert day.resets_at is not None
    assert 0 < (day.resets_at - now).total_seconds() <= 86_400
    assert (day.resets_at.hour, day.resets_at.minute) == (18, 30)
    assert (day.used, day.held, day.overrun) == (0, 1, 0)
    assert (total.resets_at, total.held, total.limit) == (None, 20, 50)


def test_overrun_is_on_the_event_and_refuses_the_next(database: Database) -> None:
    """Until a raised limit absorbs it (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    quota = set_quota(database, ACCOUNT, "key", KEY, "tokens", "total", 30)
    first = hold(10, 20)
    append(database, first)
    call = UUID(bytes=first.stream)
    append(database, entries.settle(call, ACCOUNT, 75))
    with database.connect() as connection:
        settled = read_stream(connection, call)[-1].event
        (shown,) = read_quotas(connection, ACCOUNT)
    begins = "1970-01-01T00:00:00.000000Z"
    assert settled.quotas == [  # type: ignore[attr-defined]
        {"quota_id": str(quota), "begins": begins, "held": 20, "used": 30, "overrun": 45}
    ]
    assert (shown.used, shown.held, shown.overrun) == (30, 0, 45)
    assert one(database, hold(1, 0)).code == EXCEEDED
    set_quota(database, ACCOUNT, "key", KEY, "tokens", "total", 75)
    assert one(database, hold(1, 0)).code == OK
    assert one(database, hold(1, 1)).code == EXCEEDED
    assert verify(database).differences == []


def test_accounts_without_quotas_are_as_they_were(database: Database) -> None:
    """No byte more on their events, no mark on their account (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    placed = [hold(5, 7) for _ in range(4)]
    append(database, *placed)
    append(database, *(entries.settle(UUID(bytes=each.stream), ACCOUNT, 3) for each in placed))
    with database.connect() as connection:
        assert connection.execute(
            "SELECT count(*) FROM events WHERE position('quotas'::bytea IN state) > 0"
        ).fetchone() == (0,)
        assert connection.execute("SELECT bound FROM credit_account").fetchall() == [(False,)]
        assert connection.execute("SELECT count(*) FROM quota_window").fetchone() == (0,)


def test_removing_the_last_quota_unbinds_the_account(database: Database) -> None:
    """What was held on it is still released there (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    quota = set_quota(database, ACCOUNT, "key", KEY, "requests", "total", 1)
    first = hold()
    append(database, first)
    assert one(database, hold()).code == EXCEEDED
    remove_quota(database, quota)
    with database.connect() as connection:
        assert connection.execute("SELECT bound FROM credit_account").fetchall() == [(False,)]
    assert one(database, hold()).code == OK
    append(database, entries.void(UUID(bytes=first.stream), ACCOUNT))
    assert windows(database) == {"requests": (0, 0)}
    assert verify(database).differences == []


def test_a_zone_that_the_database_does_not_know_is_refused(database: Database) -> None:
    """Nothing is saved, or every later hold would fail (rule: refuse clearly)."""
    with pytest.raises(Exception, match="zone"):
        set_quota(database, ACCOUNT, "key", KEY, "requests", "day", 1, zone="Mars/Olympus")
    with database.connect() as connection:
        assert read_after(connection, 0) == []


def test_a_quota_of_an_account_without_credits(database: Database) -> None:
    """It is kept, and the first grant finds it (money rule 13)."""
    set_quota(database, ACCOUNT, "account", ACCOUNT, "requests", "total", 1)
    assert verify(database).differences == []
    append(database, entries.grant(ACCOUNT, 1_000))
    assert [each.code for each in append(database, hold(), hold())] == [OK, EXCEEDED]
    assert verify(database).differences == []


def test_events_of_quotas_are_the_librarys(database: Database) -> None:
    """Optimistic concurrency, and a stream that reads back (P5)."""
    made = set_quota(database, ACCOUNT, "key", KEY, "tokens", "day", 5)
    assert made == quota_id(str(ACCOUNT), "key", str(KEY), "tokens", "day")
    remove_quota(database, made)
    aggregates = Aggregates(database)
    try:
        assert [type(each) for each in aggregates.events_of(made)] == [QuotaSet, QuotaRemoved]
    finally:
        aggregates.close()


def test_overrun_in_a_batch_is_booked_too(database: Database) -> None:
    """Three settlements at once, each of more tokens than it held (money rule 13)."""
    append(database, entries.grant(ACCOUNT, 1_000))
    set_quota(database, ACCOUNT, "key", KEY, "tokens", "total", 70)
    placed = [hold(50, 20) for _ in range(3)]
    append(database, *placed)
    ends = [entries.settle(UUID(bytes=each.stream), ACCOUNT, 30) for each in placed]
    assert [each.code for each in append(database, *ends)] == [OK] * 3
    with database.connect() as connection:
        (quota,) = read_quotas(connection, ACCOUNT)
        booked = [
            read_stream(connection, UUID(bytes=each.stream))[-1].event.quotas  # type: ignore[attr-defined]
            for each in placed
        ]
    assert (quota.used, quota.held, quota.overrun) == (70, 0, 20)
    told = [[(each["used"], each["overrun"]) for each in uses] for uses in booked]
    assert told == [[], [(20, 10)], [(20, 10)]]
    assert verify(database).differences == []


def test_what_other_credits_pay_for_is_not_the_trials(database: Database) -> None:
    """A call on both uses of the trial no more tokens than it held there (money rule 10)."""
    append(
        database,
        entries.grant(ACCOUNT, 20, kind="trial", limits={"requests": 5, "tokens": 100}),
        entries.grant(ACCOUNT, 500),
    )
    both, alone = hold(50, 30), hold(5, 30)
    append(database, both)
    append(database, entries.settle(UUID(bytes=both.stream), ACCOUNT, 45))
    assert windows(database) == {"requests": (1, 0), "tokens": (30, 0)}
    append(database, entries.grant(ACCOUNT, 9, kind="trial", limits={"requests": 9, "tokens": 40}))
    append(database, alone)
    append(database, entries.settle(UUID(bytes=alone.stream), ACCOUNT, 60))
    with database.connect() as connection:
        used = [(each.used, each.overrun) for each in read_quotas(connection, ACCOUNT)]
    assert used == [(1, 0), (30, 0), (1, 0), (40, 20)]
    assert verify(database).differences == []


def test_a_cost_above_its_hold_leaves_a_trial_alone_that_it_has_no_part_of(
    database: Database,
) -> None:
    """What other credits do not cover is house loss (money rule 3, money rule 10)."""
    append(
        database,
        entries.grant(ACCOUNT, 100, kind="trial", limits={"requests": 5, "tokens": 10}),
        entries.grant(ACCOUNT, 30),
    )
    placed = hold(20, 20)
    assert one(database, placed) == AppendAnswer(OK, 10)
    answer = one(database, entries.settle(UUID(bytes=placed.stream), ACCOUNT, 45))
    assert (answer.code, answer.loss) == (OK, 15)
    with database.connect() as connection:
        assert connection.execute("SELECT available FROM credit_account").fetchone() == (100,)
    assert verify(database).differences == []
