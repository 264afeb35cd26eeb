"""How many calls a provider gets at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.overload.upstream import (
    MEMORY,
    SLOW_FACTOR,
    SLOW_SPARE_MS,
    WINDOW,
    Backoff,
    Concurrency,
    UpstreamLimit,
    UsualLatency,
)


def limit_of(least: int = 2, most: int = 100, start: int | None = None) -> UpstreamLimit:
    """A limit between these."""
    return UpstreamLimit(Concurrency(least, most, start))


def busy(limit: UpstreamLimit, calls: int) -> int:
    """So many calls begin; the generation of the last."""
    return [limit.begin() for _ in range(calls)][-1]


def test_it_begins_with_the_most_unless_told_otherwise() -> None:
    """And within its bounds (rule: bounded)."""
    assert limit_of().limit == 100
    assert limit_of(start=20).limit == 20
    assert (limit_of(start=1).limit, limit_of(start=900).limit) == (2, 100)
    assert UpstreamLimit(Concurrency(1, 9, 3, adaptive=False)).limit == 9


@pytest.mark.parametrize(("least", "most"), [(0, 5), (-1, 5), (6, 5)])
def test_bounds_that_are_none_are_refused(least: int, most: int) -> None:
    """A limit of nothing would never heal (rule: refuse clearly)."""
    with pytest.raises(ValueError, match="no range"):
        limit_of(least, most)


def test_room_is_for_as_many_as_the_limit() -> None:
    """A call counts until its end (rule: bounded)."""
    limit = limit_of(start=2)
    busy(limit, 2)
    assert not limit.room
    limit.end()
    assert limit.room


def test_refusals_make_it_fall_once_for_all_that_were_under_way() -> None:
    """From what is under way; a call that began since makes it fall again (rule: bounded)."""
    limit = limit_of()
    before = busy(limit, 50)
    assert limit.back_off(before, Backoff.REFUSED)
    assert limit.limit == 40
    assert not limit.back_off(before, Backoff.REFUSED)
    assert limit.limit == 40
    for _ in range(30):
        limit.end()
    assert limit.back_off(busy(limit, 1), Backoff.SLOW)
    assert limit.limit == 18
    assert limit.decreases == {Backoff.REFUSED: 1, Backoff.SLOW: 1}


def test_it_never_falls_below_its_least() -> None:
    """However often it is told to, and whatever is under way (rule: bounded)."""
    limit = limit_of()
    for _ in range(50):
        limit.back_off(limit.begin(), Backoff.REFUSED)
        limit.end()
    assert limit.limit == 2


def test_a_rare_refusal_is_one_models_own() -> None:
    """Beside many answers it changes nothing; many of them do (rule: calls first)."""
    limit = limit_of(start=50)
    for _ in range(MEMORY // 2):
        limit.answered()
    now = busy(limit, 50)
    assert not limit.back_off(now, Backoff.REFUSED)
    assert limit.limit == 50
    assert [limit.back_off(now, Backoff.REFUSED) for _ in range(5)].count(True) == 1


def test_one_that_is_not_adaptive_stays() -> None:
    """The operator knows the provider's own limit (rule: routing)."""
    limit = UpstreamLimit(Concurrency(1, 7, None, adaptive=False))
    assert not limit.back_off(busy(limit, 7), Backoff.REFUSED)
    assert limit.limit == 7
    assert not any(limit.decreases.values())


@given(st.integers(1, 50), st.integers(0, 500), st.integers(0, 600))
def test_a_steady_provider_gets_the_most_in_the_end(least: int, more: int, start: int) -> None:
    """Whatever it began with, and after any fall (rule: calls first)."""
    limit = limit_of(least, least + more, start)
    limit.back_off(limit.begin(), Backoff.REFUSED)
    for _ in range((least + more + 1) ** 2):
        limit.answered()
        if limit.limit == limit.most:
            break
    assert limit.limit == limit.most


EVENTS = st.sampled_from(["begin", "end", "answered", Backoff.REFUSED, Backoff.SLOW])


@given(
    st.tuples(st.integers(1, 9), st.integers(0, 90), st.none() | st.integers(-5, 200)),
    st.lists(EVENTS, max_size=300),
)
def test_it_stays_within_its_bounds(
    bounds: tuple[int, int, int | None], happened: list[str]
) -> None:
    """Whatever happens, in whatever order; it says where it changed, and falls by a decrease
    alone (rule: bounded).
    """
    least, more, start = bounds
    limit = limit_of(least, least + more, start)
    under_way: list[int] = []
    for each in happened:
        before, fell = limit.limit, sum(limit.decreases.values())
        if each == "begin":
            under_way.append(limit.begin())
        elif not under_way:
            continue
        elif each == "end":
            under_way.pop()
            limit.end()
        elif each == "answered":
            assert limit.answered() == (limit.limit > before)
        else:
            told = limit.back_off(under_way[0], Backoff(each))
            assert told == (sum(limit.decreases.values()) > fell)
            assert limit.limit <= before
        assert limit.in_flight == len(under_way)
        assert 1 <= limit.least <= limit.limit <= limit.most
        assert limit.limit >= before or sum(limit.decreases.values()) == fell + 1


def window(usual: UsualLatency, *latencies: int) -> bool:
    """A whole window of answers, the last ones these."""
    rest = [10**6] * (WINDOW - len(latencies))
    return [usual.slow(each) for each in (*rest, *latencies)][-1]


def test_some_late_answers_are_not_slow() -> None:
    """The quickest of a window counts: long prompts take long (rule: calls first)."""
    usual = UsualLatency()
    assert not window(usual, 100)
    assert not window(usual, 100 * SLOW_FACTOR + SLOW_SPARE_MS)
    assert usual.usual_ms == 100 + (100 + SLOW_SPARE_MS) // 4


def test_a_window_of_late_answers_is_slow_until_it_is_usual() -> None:
    """A provider that has become slower is not held back for ever (rule: calls first)."""
    usual = UsualLatency()
    window(usual, 100)
    found = [window(usual, 5_000) for _ in range(20)]
    assert found[0]
    assert not found[-1]
    assert found == sorted(found, reverse=True)
    assert not window(usual, 90)
    assert usual.usual_ms == 90


@given(st.lists(st.integers(0, 10**7), max_size=100))
def test_what_is_usual_is_between_what_was_seen(latencies: list[int]) -> None:
    """Once a window was whole (rule: bounded)."""
    usual = UsualLatency()
    for each in latencies:
        usual.slow(each)
    if len(latencies) < WINDOW:
        assert usual.usual_ms is None
    else:
        assert usual.usual_ms is not None
        assert min(latencies) <= usual.usual_ms <= max(latencies)
