"""Plans by their rules: what they allow whom, for how long, as which quotas."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from domain.errors import InvalidCommandError
from domain.events.base import By
from domain.events.offers.plans import PlanAssigned, PlanEnded
from domain.events.profile import UserDeleted
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.limits.rates import NO_LIMITS, LimitScope, RateLimits
from domain.plans.all import AllPlans
from domain.plans.assignment import (
    Owner,
    UserPlan,
    assign_plan,
    end_after,
    end_plan,
    limit_quotas,
    replay_plan,
)
from domain.plans.catalog import NO_PLAN, PLANS, UnknownPlanError, plan_named
from domain.plans.limits import allowed, quotas_of, scope_of, scopes_of_call
from domain.plans.rates import rates_of, rates_of_call
from domain.quotas.orders import QuotaState

USER, ACCOUNT = UUID(int=1), UUID(int=2)
OWNER = Owner(USER, ACCOUNT)
NOW = "2027-01-02T00:00:00.000000Z"


def stamp() -> Any:
    """What every event carries."""
    return {"id": "e", "effective_at": NOW, "actor": "a", "correlation_id": "c"}


def test_plans_are_named_by_name_or_number() -> None:
    """As clients do, and nothing else (rule: contract)."""
    assert [each.name for each in PLANS.values()] == ["free", "dev", "team", "customize"]
    assert plan_named("dev") is plan_named(2) is plan_named("2") is PLANS["dev"]
    for name in ("", "none", "0", 5, -1, 10**30, "DEV", "x" * 10_000):
        with pytest.raises(UnknownPlanError) as caught:
            plan_named(name)
        assert len(str(caught.value)) < 200


@pytest.mark.parametrize("plan", [*PLANS.values(), NO_PLAN])
def test_other_environments_may_use_half(plan: Any) -> None:
    """And a live key 25,000 tokens a day at least; no limit stays none (money rule 13)."""
    live, other = allowed(plan, live=True), allowed(plan, live=False)
    whole = (plan.daily_requests, plan.monthly_requests, plan.daily_tokens, plan.monthly_tokens)
    assert other == tuple(None if each is None else each // 2 for each in whole)
    assert live.daily_tokens is None or live.daily_tokens >= 25_000
    assert live._replace(daily_tokens=None) == (*whole[:2], None, whole[3])


@pytest.mark.parametrize("plan", [*PLANS.values(), NO_PLAN])
def test_other_environments_may_call_half_as_fast(plan: Any) -> None:
    """Rounded down, and counted on the whole too; no limit stays none (money rule 13)."""
    whole, half = rates_of(plan, live=True), rates_of(plan, live=False)
    assert whole is plan.rates
    assert half == tuple(None if each is None else each // 2 for each in whole)
    live, other = rates_of_call(plan, live=True), rates_of_call(plan, live=False)
    if plan.rates == NO_LIMITS:
        assert live == other == ()
    else:
        assert live == ((LimitScope.PLAN, whole),)
        assert other == (*live, (LimitScope.PLAN_NOT_LIVE, half))


def test_half_of_one_is_one_and_of_nothing_nothing() -> None:
    """A limit of a plan shuts nobody out that did not mean to (money rule 13)."""
    plan = replace(PLANS["free"], rates=RateLimits(requests_per_minute=0, concurrency=1))
    assert rates_of(plan, live=False) == plan.rates


def test_a_better_plan_is_no_slower() -> None:
    """And none calls faster by the minute than by the hour (rule: refuse clearly)."""
    plans = [PLANS[name].rates for name in ("free", "dev", "team")]
    for lower, higher in itertools.pairwise(plans):
        for less, more in zip(lower, higher, strict=True):
            assert less is None or (more is not None and less < more)
    for each in plans:
        for minute, hour in ((each[0], each[1]), (each[3], each[4])):
            assert minute is None or hour is None or minute < hour <= 60 * minute
        assert each.concurrency


def test_the_least_is_kept() -> None:
    """Little is raised for live keys, and half of one is one (money rule 13)."""
    small = replace(NO_PLAN, daily_tokens=10, daily_requests=1)
    assert allowed(small, live=True).daily_tokens == 25_000
    assert allowed(small, live=False)[:3:2] == (1, 5)
    nothing = replace(NO_PLAN, daily_requests=0)
    assert allowed(nothing, live=False).daily_requests == 0


def test_calls_name_the_scopes_that_bind_them() -> None:
    """A live key's one, another's both, and each case its own (money rule 13)."""
    cases = [
        scope_of(USER, planned=planned, live=live)
        for planned in (True, False)
        for live in (True, False)
    ]
    assert len({*cases, USER, scope_of(ACCOUNT, planned=True, live=True)}) == 6
    assert scopes_of_call(USER, planned=True, live=True) == cases[0].bytes
    assert scopes_of_call(USER, planned=True, live=False) == cases[0].bytes + cases[1].bytes
    assert scopes_of_call(USER, planned=False, live=False) == cases[2].bytes + cases[3].bytes


def test_a_plan_comes_to_quotas() -> None:
    """Of requests and tokens by day and month, for both scopes; those of another go (P3)."""
    known: dict[UUID, QuotaState] = {}

    def told(plan: str) -> list[Any]:
        events = limit_quotas(
            quotas_of(PLANS[plan], USER, ACCOUNT),
            lambda target: known.get(target.stream, QuotaState()),
            stamp,
        )
        for event in events:
            limit = event.limit if isinstance(event, QuotaSet) else None
            known[event.originator_id] = QuotaState(event.originator_version, limit)
        return events

    first = told("dev")
    assert [(each.unit, each.window, each.limit) for each in first[:4]] == [
        ("requests", "day", 10_000),
        ("requests", "month", 200_000),
        ("tokens", "day", 1_000_000),
        ("tokens", "month", 20_000_000),
    ]
    assert [each.limit for each in first[4:]] == [5_000, 100_000, 500_000, 10_000_000]
    assert {each.scope_kind for each in first} == {"plan"}
    assert told("dev") == []
    assert {each.originator_version for each in told("team")} == {2}
    assert [type(each) for each in told("customize")] == [QuotaRemoved] * 8
    assert told("customize") == []
    assert len(told("free")) == 8


def test_a_plan_counts_up_to_its_instant() -> None:
    """Not at it, and not after; without an end for ever (money rule 9)."""
    state = UserPlan(1, "dev", NOW)
    assert state.in_force("2027-01-01T23:59:59.999999Z")
    assert not state.in_force(NOW)
    assert UserPlan(1, "dev").in_force("9999-01-01")
    assert not UserPlan(2).in_force(NOW)


def test_the_last_assignment_counts() -> None:
    """Until it is ended; what is not there cannot be (P5)."""
    by = By("admin", "origin-1", "why")
    first = assign_plan(UserPlan(), OWNER, PLANS["dev"], NOW, by, stamp())
    second = assign_plan(replay_plan([first]), OWNER, PLANS["team"], None, by, stamp())
    assert replay_plan([first, second]) == UserPlan(2, "team")
    ended = end_plan(replay_plan([first, second]), OWNER, by, stamp())
    assert (ended.plan, ended.reason, ended.originator_version) == ("team", "why", 3)
    state = replay_plan([first, second, ended])
    assert state == UserPlan(3)
    with pytest.raises(InvalidCommandError):
        end_plan(state, OWNER, by, stamp())
    book = AllPlans()
    other = UserDeleted(originator_id=USER, originator_version=1, **stamp())
    for event in (first, second, other):
        book.apply(event)
    assert book.by_user == {str(USER): (str(ACCOUNT), 2, "team", None)}
    book.apply(ended)
    assert book.by_user == {str(USER): (str(ACCOUNT), 3, None, None)}
    assert isinstance(first, PlanAssigned)
    assert isinstance(ended, PlanEnded)


@pytest.mark.parametrize(
    ("begins", "months", "ends"),
    [
        ("2027-01-31", 1, "2027-02-28"),
        ("2028-01-31", 1, "2028-02-29"),
        ("2099-12-31", 2, "2100-02-28"),
        ("1999-12-31", 2, "2000-02-29"),
        ("2027-08-31", 1, "2027-09-30"),
        ("2027-12-15", 1, "2028-01-15"),
        ("2027-11-30", 13, "2028-12-30"),
        ("2028-02-29", 12, "2029-02-28"),
        ("2027-05-01", 120, "2037-05-01"),
    ],
)
def test_months_are_those_of_the_calendar(begins: str, months: int, ends: str) -> None:
    """The same day and time, or the month's last day (rule: contract)."""
    rest = "T12:34:56.789012Z"
    assert end_after(begins + rest, months) == ends + rest


@pytest.mark.parametrize("months", [0, -1, 121, 10**30])
def test_no_plan_is_assigned_for_so_long(months: int) -> None:
    """Named maximum (rule: bounded)."""
    with pytest.raises(InvalidCommandError):
        end_after(NOW, months)
