"""Quotas set and removed: what is decided, and what the operator's limit means for the owner."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from domain.errors import InvalidCommandError
from domain.quotas.orders import (
    QuotaState,
    QuotaTarget,
    remove_quota,
    replay_quota,
    set_quota,
)
from domain.quotas.terms import LIMIT_MAX

if TYPE_CHECKING:
    from domain.events.base import Event, Stamp

TARGET = QuotaTarget(
    account_id="a", scope_kind="key", scope_id="k", unit="requests", window="total"
)


def stamp(actor: str) -> Stamp:
    """Of one action."""
    return {"id": "1", "effective_at": "now", "actor": actor, "correlation_id": "c"}


def test_the_operators_last_limit_is_the_owners_ceiling() -> None:
    """Whatever the owner set since; removed by the operator there is none (money rule 13)."""
    events: list[Event] = []

    def set_by(actor: str, limit: int) -> QuotaState:
        events.extend(set_quota(replay_quota(events), TARGET, limit, "UTC", stamp(actor)))
        return replay_quota(events)

    assert set_by("api_key:1", 5) == QuotaState(1, 5, "UTC", None)
    assert set_by("operator:cli", 9) == QuotaState(2, 9, "UTC", 9)
    assert set_by("user:1", 3) == QuotaState(3, 3, "UTC", 9)
    events.extend(remove_quota(replay_quota(events), TARGET, stamp("api_key:1")))
    assert replay_quota(events) == QuotaState(4, None, "UTC", 9)
    assert set_by("api_key:1", 3) == QuotaState(5, 3, "UTC", 9)
    events.extend(remove_quota(replay_quota(events), TARGET, stamp("operator:cli")))
    assert replay_quota(events) == QuotaState(6, None, "UTC", None)
    assert {event.originator_id for event in events} == {TARGET.stream}


def test_what_is_so_already_changes_nothing() -> None:
    """And what cannot be is refused (rule: refuse clearly)."""
    state = QuotaState(3, 7, "UTC", None)
    assert set_quota(state, TARGET, 7, "UTC", stamp("x")) == []
    assert set_quota(state, TARGET, 7, "Asia/Tokyo", stamp("x"))[0].originator_version == 4
    assert remove_quota(QuotaState(4), TARGET, stamp("x")) == []
    for limit in (-1, LIMIT_MAX + 1):
        with pytest.raises(InvalidCommandError, match="limit"):
            set_quota(state, TARGET, limit, "UTC", stamp("x"))
    with pytest.raises(InvalidCommandError, match="no quota of requests by total"):
        remove_quota(QuotaState(), TARGET, stamp("x"))
