"""Quotas as the log implies them: what they refuse, what is used, held and overrun."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidCommandError, InvalidTransitionError
from domain.events import ledger as ev
from domain.events.quotas import QuotaRemoved, QuotaSet
from domain.ledger.model.ledger import ModelLedger
from domain.ledger.model.log import ENVELOPE
from domain.quotas.book import QuotaBook, shown
from domain.quotas.terms import (
    ENTRY_TOKENS_MAX,
    LIMIT_MAX,
    USED_MAX,
    Claim,
    check_limit,
    lot_limits,
    lot_quota_id,
    quota_id,
    tokens_of,
)

ACCOUNT, KEY, USER, LOT, OTHER, CALL, NEXT = (
    str(UUID(int=n, version=4)) for n in (1, 2, 3, 4, 5, 6, 7)
)
NOW, LATER = "2026-01-31T23:50:00.000000Z", "2026-02-01T00:10:00.000000Z"
SCOPES = (KEY, USER)


def set_(limit: int, *, unit: str = "requests", window: str = "day", **more: Any) -> QuotaSet:
    """A quota of the key, unless it is said otherwise."""
    named = {"scope_kind": "key", "scope_id": KEY, **more}
    made = quota_id(ACCOUNT, named["scope_kind"], named["scope_id"], unit, window)
    return QuotaSet(
        **ENVELOPE,
        **named,
        originator_id=made,
        originator_version=1,
        account_id=ACCOUNT,
        unit=unit,
        window=window,
        limit=limit,
    )


def removed(event: QuotaSet) -> QuotaRemoved:
    """Its end."""
    return QuotaRemoved(
        **ENVELOPE, originator_id=event.originator_id, originator_version=2, account_id=ACCOUNT
    )


def ledger(*quotas: QuotaSet, trial: dict[str, int] | None = None) -> ModelLedger:
    """An account with 100 nano-USD, and a trial of 50 before them if there is one."""
    made = ModelLedger()
    for each in quotas:
        made.set_quota(each)
    if trial is not None:
        made.grant(ACCOUNT, LOT, "trial", 50, None, trial)
    made.grant(ACCOUNT, OTHER, "purchase", 100, None)
    return made


def window_of(made: ModelLedger, event: QuotaSet, begins: str = "2026-01-31") -> tuple[int, int]:
    """What it counts: all that is used, all that is held."""
    quota = made.state.quotas.quotas[str(event.originator_id)]
    return quota.windows.get(f"{begins}T00:00:00.000000Z", (0, 0))


def place(made: ModelLedger, call: str, amount: int, tokens: int = 0, now: str = NOW) -> str:
    """A hold of the key and the user."""
    return made.hold(call, ACCOUNT, amount, now, tokens=tokens, scopes=SCOPES)


@pytest.mark.parametrize("unit", ["requests", "tokens", "nano_usd"])
def test_a_hold_claims_and_a_settlement_corrects(unit: str) -> None:
    """One request, its tokens, its money; then what was used (money rule 13)."""
    quota = set_(40, unit=unit)
    made = ledger(quota)
    assert place(made, CALL, 10, 20) == "ok"
    assert window_of(made, quota) == (0, {"requests": 1, "tokens": 20, "nano_usd": 10}[unit])
    usage = {"input_tokens": 5, "output_tokens": 2}
    assert made.settle(CALL, 8, NOW, usage=usage) == "ok"
    assert window_of(made, quota) == ({"requests": 1, "tokens": 7, "nano_usd": 8}[unit], 0)


def test_a_hold_beyond_a_quota_is_refused_and_leaves_nothing() -> None:
    """All or nothing: also where another quota, and the credits, have room (money rule 13)."""
    wide, narrow = set_(1_000, unit="tokens"), set_(9, unit="nano_usd", window="month")
    made = ledger(wide, narrow)
    events = len(made.log)
    key = ("aa" * 32, "bb" * 32)
    answer = made.hold(CALL, ACCOUNT, 10, NOW, tokens=20, scopes=SCOPES, key=key)
    assert (answer, made.lacking) == ("quota_exceeded", str(narrow.originator_id))
    assert len(made.log) == events
    assert window_of(made, wide) == (0, 0)
    # The key is not taken: the same call may be made once there is room.
    made.set_quota(set_(10, unit="nano_usd", window="month"))
    assert made.hold(CALL, ACCOUNT, 10, NOW, tokens=20, scopes=SCOPES, key=key) == "ok"


@pytest.mark.parametrize("scope", ["key", "user", "account", "project"])
def test_scopes_bind_their_own_calls(scope: str) -> None:
    """A quota of what the call is not of binds nothing (money rule 13)."""
    ids = {"key": KEY, "user": USER, "account": ACCOUNT, "project": NEXT}
    made = ledger(set_(0, scope_kind=scope, scope_id=ids[scope]))
    assert place(made, CALL, 1) == ("ok" if scope == "project" else "quota_exceeded")
    assert made.hold(NEXT, ACCOUNT, 1, NOW) == ("quota_exceeded" if scope == "account" else "ok")


def test_a_quota_binds_its_account_only() -> None:
    """A key's quota of one account is none of another's (money rule 13)."""
    made = ledger(set_(0))
    made.grant(USER, LOT, "bonus", 10, None)
    assert made.hold(CALL, USER, 1, NOW, scopes=SCOPES) == "ok"


def test_a_new_window_begins_at_midnight_and_a_hold_stays_in_its_own() -> None:
    """It settles in the window that it was booked in (money rule 13)."""
    quota = set_(1)
    made = ledger(quota)
    assert place(made, CALL, 1) == "ok"
    assert place(made, NEXT, 1) == "quota_exceeded"
    assert place(made, NEXT, 1, now=LATER) == "ok"
    assert made.settle(CALL, 1, LATER) == "ok"
    assert made.void(NEXT, LATER) == "ok"
    assert window_of(made, quota) == (1, 0)
    assert window_of(made, quota, "2026-02-01") == (0, 0)


def test_use_beyond_hold_and_limit_is_overrun_and_closes_the_window() -> None:
    """On the event, outside `used`, until the limit is raised (money rule 13)."""
    quota = set_(30, unit="tokens")
    made = ledger(quota, set_(9, unit="requests"))
    assert place(made, CALL, 1, 10) == "ok"
    assert place(made, NEXT, 1, 10) == "ok"
    assert made.settle(CALL, 1, NOW, usage={"input_tokens": 45}) == "ok"
    settled = made.log[-1]
    assert isinstance(settled, ev.HoldSettled)
    use = {each["quota_id"]: each for each in settled.quotas}[str(quota.originator_id)]
    assert (use["held"], use["used"], use["overrun"]) == (10, 20, 25)
    assert shown(*window_of(made, quota), 30) == (20, 10, 25)
    free = str(UUID(int=9, version=4))
    assert place(made, free, 0, 0) == "quota_exceeded"
    made.set_quota(set_(55, unit="tokens"))
    assert place(made, free, 0, 0) == "ok"


def test_a_lowered_limit_makes_overrun_of_what_there_is() -> None:
    """Nothing held is taken away, and nothing new is placed (money rule 13)."""
    quota = set_(100, unit="tokens")
    made = ledger(quota)
    assert place(made, CALL, 1, 60) == "ok"
    made.set_quota(set_(40, unit="tokens"))
    assert shown(*window_of(made, quota), 40) == (0, 40, 20)
    assert place(made, NEXT, 1, 0) == "quota_exceeded"
    assert made.settle(CALL, 1, NOW, usage={"input_tokens": 35}) == "ok"
    assert shown(*window_of(made, quota), 40) == (35, 0, 0)
    assert place(made, NEXT, 1, 5) == "ok"


def test_an_extension_reserves_too() -> None:
    """In the hold's own windows, after midnight too (money rule 13)."""
    quota, other = set_(30, unit="tokens"), set_(12, unit="nano_usd", window="total")
    made = ledger(quota, other)
    assert place(made, CALL, 10, 10) == "ok"
    assert made.extend(CALL, 1, LATER, tokens=21) == "quota_exceeded"
    assert made.extend(CALL, 3, LATER, tokens=1) == "quota_exceeded"
    assert made.lacking == str(other.originator_id)
    assert made.extend(CALL, 2, LATER, tokens=20) == "ok"
    assert window_of(made, quota) == (0, 30)
    assert made.void(CALL, LATER) == "ok"
    assert window_of(made, quota) == (0, 0)


def test_a_removed_quota_binds_nothing_and_remembers() -> None:
    """Set again, it goes on with what it counted (money rule 13)."""
    quota = set_(1)
    made = ledger(quota)
    assert place(made, CALL, 1) == "ok"
    made.set_quota(removed(quota))
    assert place(made, NEXT, 1) == "ok"
    assert made.extend(CALL, 1, NOW) == "ok"
    assert made.settle(CALL, 1, NOW) == "ok"
    made.set_quota(quota)
    assert window_of(made, quota) == (1, 0)
    assert place(made, str(UUID(int=9, version=4)), 1) == "quota_exceeded"


TRIAL = {"requests": 2, "tokens": 30}


def test_a_trial_without_room_is_passed_over() -> None:
    """Its quotas bind only what it pays for, and other credits pay the rest (money rule 10)."""
    made = ledger(trial=TRIAL)
    assert place(made, CALL, 10, 25) == "ok"
    assert [part["lot_id"] for part in _parts(made)] == [LOT]
    assert place(made, NEXT, 10, 10) == "ok"
    assert [part["lot_id"] for part in _parts(made)] == [OTHER]
    big = str(UUID(int=9, version=4))
    assert place(made, big, 120, 10) == "quota_exceeded"
    assert made.lacking == str(lot_quota_id(LOT, "tokens"))
    assert place(made, big, 131, 10) == "insufficient_credits"
    assert made.spare == 90


def _parts(made: ModelLedger) -> list[ev.LotPart]:
    placed = made.log[-1]
    assert isinstance(placed, ev.HoldPlaced | ev.HoldExtended)
    return placed.lots


def test_free_calls_are_not_the_trials() -> None:
    """What takes nothing from the lot is none of its requests (money rule 10)."""
    made = ledger(trial={"requests": 0, "tokens": 0})
    assert place(made, CALL, 0, 10) == "ok"
    assert made.log[-1].bound_by == {}  # type: ignore[attr-defined]


def test_an_extension_takes_from_the_trial_only_what_its_hold_lies_on() -> None:
    """Else other credits pay, and what they pay for is not the trial's use (money rule 10)."""
    made = ledger(trial=TRIAL)
    assert place(made, CALL, 10, 25) == "ok"
    assert made.extend(CALL, 5, NOW, tokens=10) == "ok"
    assert [part["lot_id"] for part in _parts(made)] == [OTHER]
    assert made.settle(CALL, 14, NOW, usage={"input_tokens": 34}) == "ok"
    tokens = made.state.quotas.quotas[str(lot_quota_id(LOT, "tokens"))]
    assert tokens.windows == {"1970-01-01T00:00:00.000000Z": (25, 0)}
    # A hold that passed the trial over takes nothing from it later either.
    assert place(made, NEXT, 80, 9) == "ok"
    assert made.extend(NEXT, 30, NOW, tokens=1) == "insufficient_credits"
    assert made.settle(NEXT, 100, NOW) == "ok"
    settled = made.log[-1]
    assert isinstance(settled, ev.HoldSettled)
    assert settled.settled_nano_usd == 96
    assert settled.house_loss_nano_usd == 4


def test_an_extension_beyond_the_trial_names_its_quota() -> None:
    """Where nothing else covers it (money rule 10)."""
    made = ledger(trial=TRIAL)
    assert place(made, CALL, 10, 25) == "ok"
    assert made.extend(CALL, 120, NOW, tokens=10) == "quota_exceeded"
    assert made.lacking == str(lot_quota_id(LOT, "tokens"))
    assert made.extend(CALL, 5, NOW, tokens=5) == "ok"
    assert [part["lot_id"] for part in _parts(made)] == [LOT]


def _changed(made: ModelLedger, **changes: Any) -> ev.MoneyEvent:
    event = made.log[-1]
    parts = [{**part, **changes} for part in event.quotas]  # type: ignore[attr-defined]
    return type(event)(**{**vars(event), "quotas": parts})


def _earlier(event: ev.MoneyEvent, **changes: Any) -> ev.HoldPlaced:
    """A hold as earlier releases wrote it, with what is held on each quota."""
    assert isinstance(event, ev.HoldPlaced)
    parts = [
        {"quota_id": quota, "begins": begins, "held": 1, **changes}
        for quota, begins in event.bound_by.items()
    ]
    return ev.HoldPlaced(**{**vars(event), "bound_by": {}, "held_tokens": None, "quotas": parts})


@pytest.mark.parametrize(
    "changes",
    [{"held": 0}, {"held": 2}, {"quota_id": OTHER}],
)
def test_the_fold_refuses_a_hold_that_its_quotas_do_not_allow(changes: dict[str, Any]) -> None:
    """Another amount, an unknown quota (money rule 13, P8)."""
    quota = set_(1)
    made, again = ledger(quota), ledger(quota)
    assert place(made, CALL, 5) == "ok"
    with pytest.raises(InvalidTransitionError):
        again.state.apply(_earlier(made.log[-1], **changes))
    again = ledger(quota)
    again.state.apply(_earlier(made.log[-1]))
    assert window_of(again, quota) == (0, 1)


@pytest.mark.parametrize("changes", [{"held_tokens": 19}, {"bound_by": {OTHER: NOW}}])
def test_the_fold_refuses_a_hold_of_fewer_tokens(changes: dict[str, Any]) -> None:
    """Than its bounds allow, and one that a quota binds which is none (money rule 13, P8)."""
    quota = set_(40, unit="tokens")
    made, again = ledger(quota), ledger(quota)
    assert place(made, CALL, 5, 20) == "ok"
    event = made.log[-1]
    with pytest.raises(InvalidTransitionError):
        again.state.apply(type(event)(**{**vars(event), **changes}))


def test_the_end_of_a_hold_names_its_quotas_only_where_one_is_overrun() -> None:
    """Else the usage says it; that all are named, as earlier, is right too (money rule 13)."""
    quota = set_(40, unit="tokens")
    made, again = ledger(quota), ledger(quota)
    assert place(made, CALL, 5, 20) == "ok"
    again.state.apply(made.log[-1])
    assert made.settle(CALL, 5, NOW, usage={"input_tokens": 7}) == "ok"
    event = made.log[-1]
    assert isinstance(event, ev.HoldSettled)
    assert event.quotas == []
    use = {"quota_id": str(quota.originator_id), "begins": "2026-01-31T00:00:00.000000Z"}
    named = {**vars(event), "quotas": [{**use, "held": 20, "used": 7, "overrun": 0}]}
    again.state.apply(ev.HoldSettled(**named))
    assert window_of(again, quota) == window_of(made, quota) == (7, 0)
    # That none is named where there is overrun is not.
    made, again = ledger(quota), ledger(quota)
    assert place(made, CALL, 5, 20) == "ok"
    again.state.apply(made.log[-1])
    assert made.settle(CALL, 5, NOW, usage={"input_tokens": 41}) == "ok"
    silent = ev.HoldSettled(**{**vars(made.log[-1]), "quotas": []})
    with pytest.raises(InvalidTransitionError, match="comes to"):
        again.state.apply(silent)


def test_the_fold_refuses_what_goes_beyond_a_limit() -> None:
    """And a use that the usage does not come to (money rule 13, P8)."""
    made, again = ledger(set_(5, unit="tokens")), ledger(set_(0, unit="tokens"))
    assert place(made, CALL, 5, 3) == "ok"
    with pytest.raises(InvalidTransitionError, match="beyond its limit"):
        again.state.apply(made.log[-1])
    again = ledger(set_(5, unit="tokens"))
    again.state.apply(made.log[-1])
    beyond = {"input_tokens": 9}
    assert made.settle(CALL, 5, NOW, usage=beyond) == "ok"
    with pytest.raises(InvalidTransitionError, match="comes to"):
        again.state.apply(_changed(made, used=0))


def test_the_fold_refuses_the_end_of_a_quota_that_never_was() -> None:
    """And a release of more than is held (money rule 13, P8)."""
    book = QuotaBook()
    with pytest.raises(InvalidTransitionError, match="no quota"):
        book.remove(OTHER)
    book.set(set_(5))
    with pytest.raises(InvalidTransitionError, match="more is released"):
        next(iter(book.quotas.values())).move(NOW, held=-1)


@given(*(st.integers(0, 3 * LIMIT_MAX) for _ in range(2)), st.integers(0, LIMIT_MAX))
def test_what_is_shown_never_passes_the_limit(used: int, held: int, limit: int) -> None:
    """And nothing is lost: the rest is overrun (money rule 13)."""
    seen = shown(used, held, limit)
    assert min(seen) >= 0
    assert seen.used + seen.held <= limit
    assert sum(seen) == used + held
    assert (seen.overrun > 0) == (used + held > limit)


def test_figures_are_bounded() -> None:
    """Limits, tokens of an entry and all use of a window (rule: bounded)."""
    for limit in (-1, LIMIT_MAX + 1):
        with pytest.raises(InvalidCommandError):
            check_limit(limit)
    check_limit(0)
    check_limit(LIMIT_MAX)
    assert tokens_of({"input_tokens": 2 * ENTRY_TOKENS_MAX}) == ENTRY_TOKENS_MAX
    assert tokens_of({"input_tokens": -5, "output_tokens": "x"}) == 0
    made = ledger(quota := set_(LIMIT_MAX, unit="tokens"))
    assert place(made, CALL, 1, ENTRY_TOKENS_MAX + 1) == "amount_out_of_range"
    assert place(made, CALL, 1, -1) == "amount_out_of_range"
    assert place(made, CALL, 1, 5) == "ok"
    assert made.extend(CALL, 1, NOW, tokens=-1) == "amount_out_of_range"
    book = made.state.quotas.quotas[str(quota.originator_id)]
    book.move(NOW, used=USED_MAX)
    book.move(NOW, used=USED_MAX)
    assert book.windows[NOW] == (USED_MAX, 0)
    assert USED_MAX + 2 * LIMIT_MAX < 2**63


def test_ids_and_limits_of_lots() -> None:
    """One quota for each scope, unit and window; limits without a unit are none (money rule 13)."""
    assert quota_id(ACCOUNT, "key", KEY, "tokens", "day") == set_(1, unit="tokens").originator_id
    assert lot_quota_id(LOT, "tokens") != lot_quota_id(LOT, "requests")
    assert lot_limits(None) == {}
    assert lot_limits({"requests": 5, "other": 3}) == {"requests": 5}
    assert Claim(1, 2, 3).of("tokens") == 2
