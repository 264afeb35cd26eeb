"""Calls rated anew by another version of their price: shown exactly, corrected once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from command_api.money.rerating import NoSuchPriceError, Plan, Rerating, Wanted
from domain.batches.price import line_price
from domain.events.ledger import ChargeCorrected
from domain.ledger.rerating import Why
from domain.pricing.usage import Usage
from event_store.ids import new_uuid7
from event_store.log.reading import read_all
from projections.hosting.verify import verify
from tests.command_api.money.test_adjustments import correct
from tests.command_api.money.test_grants import ACCOUNT, give
from tests.event_store.append.test_append import append
from tests.support import entries
from tests.support.rated_calls import NEW, OFFER, OLD, batch, call, price, publish, version

if TYPE_CHECKING:
    from event_store.postgres.database import Database

OTHER = UUID("00000000-0000-7000-8000-00000000000b")
USAGES = (
    Usage(101, 7),
    Usage(150, 50, cached_input_tokens=33, cache_write_tokens=17),
    Usage(199, 99, reasoning_tokens=60),
    Usage(201, 1),
    Usage(1, 1, source="estimated"),
)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def wanted(terms: dict[str, str] = NEW, model: str = "org/m", **change: Any) -> Wanted:
    """All calls of the model, until now."""
    until = datetime.now(UTC) + timedelta(seconds=1)
    return Wanted(model, LONG_AGO, until, version(terms))._replace(**change)


def quiet(_: int, __: int) -> None:
    """Nobody looks."""


def plan_of(database: Database, asked: Wanted | None = None) -> Plan:
    """What would be done."""
    return Rerating(database, asked or wanted()).plan(quiet)


def post(database: Database, asked: Wanted | None = None) -> Plan:
    """Do it."""
    return Rerating(database, asked or wanted()).post(reason="wrong", actor="test", report=quiet)


def calls_of_both(database: Database) -> None:
    """Credits, and the same calls on two accounts."""
    publish(database, OLD, NEW)
    give(database, 10**12)
    append(database, entries.grant(OTHER, 10**12))
    for account in (ACCOUNT, OTHER):
        for usage in USAGES:
            append(database, *call(account, usage))


def corrections(database: Database) -> list[ChargeCorrected]:
    """All that were booked."""
    with database.connect() as connection, connection.transaction():
        return [
            each.event for each in read_all(connection) if isinstance(each.event, ChargeCorrected)
        ]


def test_the_plan_is_exact_and_the_same_each_time(database: Database) -> None:
    """By account, by the one function of prices, unrounded, and nothing is written (P4)."""
    calls_of_both(database)
    plan = plan_of(database)
    assert plan == plan_of(database)
    new, old = ([price(terms).cost(each) for each in USAGES] for terms in (NEW, OLD))
    for account in (ACCOUNT, OTHER):
        sums = plan.accounts[str(account)]
        assert sums.calls == len(USAGES)
        assert (sums.old, sums.new) == (sum(c.nano_usd for c in old), sum(c.nano_usd for c in new))
        assert Fraction(sums.new_exact) == sum(Fraction(each.exact_nano_usd) for each in new)
        assert sums.new_exact != sums.new
        assert sums.charged == sums.new - sums.old
    assert plan.whole.calls == plan.calls == 2 * len(USAGES)
    assert corrections(database) == []


def test_each_call_is_corrected_once(database: Database) -> None:
    """What was shown is what is done; a second time does nothing (money rule 17)."""
    calls_of_both(database)
    plan = plan_of(database)
    done = post(database)
    assert done.posted == 2 * len(USAGES)
    assert (done.whole, done.accounts) == (plan.whole, plan.accounts)
    again = post(database)
    assert (again.posted, again.corrected_before, again.whole.calls) == (0, 2 * len(USAGES), 0)
    booked = corrections(database)
    assert len(booked) == len({each.originator_id for each in booked}) == 2 * len(USAGES)
    assert {(each.price_version, each.reason) for each in booked} == {(version(NEW), "wrong")}
    with database.connect() as connection:
        rows = connection.execute("SELECT settled FROM credit_account").fetchall()
    assert rows == [(sum(price(NEW).cost(each).nano_usd for each in USAGES),)] * 2
    assert verify(database).differences == []


def test_what_was_done_before_is_passed_over(database: Database) -> None:
    """A run that ended in the middle is done again, and ends (P3, money rule 17)."""
    calls_of_both(database)
    first = new_uuid7()
    append(database, *call(ACCOUNT, USAGES[0], call_id=first))
    correct(database, first, price(NEW).cost(USAGES[0]).nano_usd, version(NEW))
    done = post(database)
    assert (done.posted, done.corrected_before) == (2 * len(USAGES), 1)


def test_two_at_once_correct_once(database: Database) -> None:
    """Whoever comes second finds it done (P3, money rule 17)."""
    calls_of_both(database)

    async def both() -> list[Plan]:
        return await asyncio.gather(*(asyncio.to_thread(post, database) for _ in range(2)))

    done = asyncio.run(both())
    assert sum(each.posted for each in done) == 2 * len(USAGES)
    assert [each.posted + each.corrected_before for each in done] == [2 * len(USAGES)] * 2
    assert len(corrections(database)) == 2 * len(USAGES)
    assert verify(database).differences == []


def test_what_cannot_be_rated_is_named_and_left(database: Database) -> None:
    """No term for what was used, another provider's, a stated cost: each with why (P10)."""
    publish(database, OLD, NEW)
    publish(database, OLD, offer=("q", "m"))
    give(database, 10**12)
    searched, elsewhere, stated = new_uuid7(), new_uuid7(), new_uuid7()
    append(database, *call(ACCOUNT, Usage(5, 5, extras=("web_search",)), call_id=searched))
    append(database, *call(ACCOUNT, Usage(5, 5), ("q", "m"), call_id=elsewhere))
    append(database, *call(ACCOUNT, Usage(5, 5), call_id=stated))
    append(database, *call(ACCOUNT, Usage(5, 5)))
    append(database, *call(ACCOUNT, Usage(5, 5), ("p", "other")))
    correct(database, stated, 1, "stated:x")
    done = post(database)
    assert {each.call_id: each.why for each in done.named} == {
        searched: Why.NO_TERM,
        elsewhere: Why.OTHER_OFFER,
        stated: Why.STATED_COST,
    }
    assert (done.calls, done.posted, done.not_rated.total()) == (4, 1, 3)


def test_only_calls_of_the_time_are_rated(database: Database) -> None:
    """From an instant on, before another (rule: contract)."""
    calls_of_both(database)
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT booked_at FROM events WHERE topic LIKE '%settled%' ORDER BY 1"
        ).fetchall()
    third, fifth = rows[2][0], rows[4][0]
    found = plan_of(database, wanted(since=third, until=fifth))
    assert found.calls == 2
    assert plan_of(database, wanted(since=fifth, until=fifth)).calls == 0


def test_pages_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls there are, a page of them is looked at (rule: bounded)."""
    calls_of_both(database)
    monkeypatch.setattr("command_api.money.rerating.PAGE_CALLS", 3)
    monkeypatch.setattr("command_api.money.rerating.AT_ONCE", 2)
    monkeypatch.setattr("command_api.money.rerating.NAMED_MAX", 0)
    append(database, *call(ACCOUNT, Usage(5, 5, extras=("web_search",))))
    seen: list[tuple[int, int]] = []
    done = Rerating(database, wanted()).post(
        reason="r", actor="test", report=lambda *each: seen.append(each)
    )
    assert done.posted == 2 * len(USAGES)
    assert (done.not_rated[Why.NO_TERM], done.named) == (1, [])
    assert len(seen) == 4
    assert seen[-1][0] <= seen[-1][1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "p/m@000000000000"}, "no price 'p/m@000000000000' was published"),
        ({"version": ""}, "no price '' was published"),
        ({"version": "none"}, "no price 'none' was published"),
        ({"version": "p/none"}, "there is no price any more"),
        ({"model": "org/other"}, "is a price of p/m, not of org/other"),
    ],
)
def test_a_price_that_is_none_is_refused(
    database: Database, change: dict[str, Any], said: str
) -> None:
    """Before anything is looked at (P10)."""
    publish(database, OLD, NEW)
    with database.connect() as connection:
        connection.execute(
            "INSERT INTO read_catalog_price_v1 (position, provider, model, version, source, "
            "effective_at, price) VALUES (999, 'p', 'm', 'p/none', 's', now(), '{}')"
        )
    with pytest.raises(NoSuchPriceError, match=said):
        plan_of(database, wanted(**change))


def test_a_price_of_another_content_is_refused(database: Database) -> None:
    """A version is named by its terms: what is not its own is no price (P10)."""
    publish(database, OLD, NEW)
    with database.connect() as connection:
        connection.execute(
            "UPDATE read_catalog_price_v1 SET price = %s WHERE version = %s",
            ['{"input_per_million":"9","output_per_million":"9"}', version(NEW)],
        )
    with pytest.raises(NoSuchPriceError, match="whose terms are not those of"):
        plan_of(database)


def test_lines_of_a_batch_keep_their_share(database: Database) -> None:
    """Each pays its batch's percent of the new price, as it paid of the old one, whatever the
    operator sells batches at today; what a line was called at by the same price is right already
    (P4, money rule 12, money rule 17).
    """
    publish(database, OLD, NEW)
    give(database, 10**12)
    shares = {each: batch(database, ACCOUNT, each) for each in (50, 100, 7, 0)}
    for percent, made in shares.items():
        for usage in USAGES:
            append(database, *call(ACCOUNT, usage, share=(made, percent)))
    append(database, *call(ACCOUNT, USAGES[0]))
    by_old = plan_of(database, wanted(OLD))
    assert (by_old.calls, by_old.unchanged) == (21, 21)

    def cost(percent: int) -> int:
        by = line_price(*OFFER, price(NEW), percent)
        return sum(by.cost(each).nano_usd for each in USAGES)

    plan = plan_of(database)
    assert plan.whole.new == sum(map(cost, shares)) + price(NEW).cost(USAGES[0]).nano_usd
    exact = sum(
        Fraction(price(NEW).cost(usage).exact_nano_usd) * percent / 100
        for percent in shares
        for usage in USAGES
    )
    exact += Fraction(price(NEW).cost(USAGES[0]).exact_nano_usd)
    assert Fraction(plan.whole.new_exact) == exact
    done = post(database)
    assert (done.posted, done.unchanged) == (16, 5)
    again = post(database)
    assert (again.posted, again.corrected_before) == (0, 16)
    versions = {each.price_version for each in corrections(database)}
    assert versions == {line_price(*OFFER, price(NEW), each).version for each in (50, 100, 7)}
    assert verify(database).differences == []


def test_nobody_elses_batch_is_a_reason_for_half(database: Database) -> None:
    """A call that names another account's batch, or one that never was, pays all of the price
    (P10, rule: access).
    """
    publish(database, OLD, NEW)
    give(database, 10**12)
    append(database, entries.grant(OTHER, 10**12))
    for named in (batch(database, OTHER, 50), new_uuid7()):
        append(database, *call(ACCOUNT, USAGES[0], share=(named, 50)))
    plan = plan_of(database)
    assert plan.whole.new == 2 * price(NEW).cost(USAGES[0]).nano_usd
