"""Limits are set and cleared by events."""

from __future__ import annotations

from typing import Any

import pytest

from domain.errors import InvalidCommandError
from domain.limits.rates import OF_PLANS, SYSTEM_ID, LimitScope, RateLimits, SetBy
from domain.limits.settings import LimitsState, Target, clear_limits, replay_limits, set_limits

KEY = Target(LimitScope.KEY, "00000000-0000-7000-8000-0000000000a1", SetBy.OPERATOR)
SYSTEM = Target(LimitScope.SYSTEM, SYSTEM_ID, SetBy.OPERATOR)
ENVELOPE: dict[str, Any] = {
    "id": "e",
    "effective_at": "2027-01-01T00:00:00.000000Z",
    "actor": "test",
    "correlation_id": "r",
}


def test_what_is_set_counts_until_it_is_cleared() -> None:
    """The same again is no event; neither is clearing what is not set (money rule 13)."""
    limits = {"requests_per_minute": 5, "burst": 2}
    (first,) = set_limits(replay_limits([]), KEY, limits=limits, plan=None, envelope=ENVELOPE)
    state = replay_limits([first])
    assert state == LimitsState(1, RateLimits(requests_per_minute=5, burst=2))
    assert set_limits(state, KEY, limits=limits, plan=None, envelope=ENVELOPE) == []
    (second,) = clear_limits(state, KEY, envelope=ENVELOPE)
    state = replay_limits([first, second])
    assert state.cleared and state.version == 2
    assert clear_limits(state, KEY, envelope=ENVELOPE) == []
    (third,) = set_limits(state, KEY, limits={"burst": 1}, plan=None, envelope=ENVELOPE)
    assert third.originator_version == 3


def test_a_plan_is_a_users() -> None:
    """Keys and the system have limits of their own (money rule 13)."""
    user = Target(LimitScope.USER, KEY.scope_id, SetBy.OPERATOR)
    (event,) = set_limits(LimitsState(), user, limits={}, plan="premium", envelope=ENVELOPE)
    assert replay_limits([event]).plan == "premium"
    for target in (KEY, SYSTEM):
        with pytest.raises(InvalidCommandError, match="plan"):
            set_limits(LimitsState(), target, limits={}, plan="premium", envelope=ENVELOPE)


@pytest.mark.parametrize("scope", sorted(OF_PLANS))
def test_nobody_sets_the_limits_of_a_plan(scope: LimitScope) -> None:
    """They stand in the table of plans alone (rule: refuse clearly)."""
    target = Target(scope, KEY.scope_id, SetBy.OPERATOR)
    with pytest.raises(InvalidCommandError, match="table of plans"):
        set_limits(LimitsState(), target, limits={"burst": 1}, plan=None, envelope=ENVELOPE)


def test_each_scope_and_setter_has_a_stream_of_its_own() -> None:
    """An owner's limits never overwrite the operator's (money rule 13)."""
    streams = {KEY.stream, SYSTEM.stream, KEY._replace(set_by=SetBy.OWNER).stream}
    assert len(streams) == 3
    assert streams == {KEY.stream, SYSTEM.stream, KEY._replace(set_by=SetBy.OWNER).stream}
