"""Past calls under other limits: refused as they would have been, forgotten when they are old."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import InvalidCommandError
from domain.limits.rates import SYSTEM_ID, LimitScope, RateLimits
from domain.limits.simulation import EVERY, MEMORY, Began, Simulation
from domain.limits.windows import (
    BURST,
    CONCURRENCY,
    MINUTE,
    REQUESTS,
    Asked,
    Counters,
    admit,
    window_of,
)

if TYPE_CHECKING:
    from domain.limits.simulation import Place

KEY, USER, SYSTEM = LimitScope.KEY, LimitScope.USER, LimitScope.SYSTEM
WHOLE = (SYSTEM, SYSTEM_ID)


def call(number: int, key: str = "k", user: str = "u", tokens: int = 10) -> Began:
    """A call."""
    return Began(b"%d" % number, key, user, tokens)


def test_without_limits_nothing_is_refused_or_remembered() -> None:
    """Whoever calls (rule: bounded)."""
    simulation = Simulation({(KEY, "other"): RateLimits(requests_per_minute=0)}, calls_max=1)
    assert all(simulation.begin(call(n), n) is None for n in range(9))
    simulation.end(b"1", 5, 9)


def test_the_limit_that_binds_is_named() -> None:
    """Of a key, of each user, of the system; what is refused counts for nothing (money rule 13)."""
    simulation = Simulation(
        {
            (KEY, "k"): RateLimits(requests_per_minute=1),
            (USER, EVERY): RateLimits(tokens_per_minute=25),
            WHOLE: RateLimits(requests_per_hour=3),
        }
    )
    assert simulation.begin(call(1), 0) is None
    refused = simulation.begin(call(2), 1)
    assert refused == (KEY, "k", 0, 1)
    assert simulation.begin(call(3, key="j"), 2) is None
    assert simulation.begin(call(4, key="j"), 3) == (USER, "u", REQUESTS, 25)
    assert simulation.begin(call(5, key="j", user="v"), 4) is None
    assert simulation.begin(call(6, key="i", user="w"), 5) == (SYSTEM, SYSTEM_ID, 1, 3)
    simulation.end(b"2", 1_000, 6)
    assert simulation.begin(call(7), MINUTE.span + MINUTE.bucket)


def test_the_keys_of_an_organisation_are_counted_together() -> None:
    """Whoever made them; calls with users' own keys are not among them (money rule 13)."""
    simulation = Simulation({(LimitScope.ORGANISATION, EVERY): RateLimits(requests_per_minute=1)})
    made = [
        simulation.begin(Began(bytes([number]), str(number), str(number), 1, of), 0)
        for number, of in enumerate(("", "one", "", "two", "one"))
    ]
    assert made[:4] == [None] * 4
    assert made[4] is not None
    assert made[4].scope_id == "one"


def test_tokens_count_as_used_once_a_call_has_ended() -> None:
    """And as all it could use where nobody knows (money rule 13)."""
    simulation = Simulation({(KEY, EVERY): RateLimits(tokens_per_minute=20)})
    for number, used in enumerate((5, 0, 2)):
        assert simulation.begin(call(number), number) is None
        simulation.end(b"%d" % number, used, number)
    assert simulation.begin(call(3), 3) is None
    simulation.end(b"3", None, 4)
    assert simulation.begin(call(4, tokens=4), 5) == (KEY, "k", REQUESTS, 20)
    assert simulation.begin(call(5, tokens=3), 5) is None


def test_calls_under_way_are_counted_until_they_end() -> None:
    """However long they take, while others are forgotten (money rule 13)."""
    simulation, now = Simulation({(KEY, EVERY): RateLimits(concurrency=1)}, scopes_max=3), 0
    assert simulation.begin(call(1), now) is None
    for number in range(2, 9):
        now = number * (MEMORY + 1)
        assert simulation.begin(call(number, key=f"k{number}"), now) is None
        simulation.end(b"%d" % number, 1, now)
        assert simulation.begin(call(99), now) == (KEY, "k", CONCURRENCY, 1)
    simulation.end(b"1", 1, now)
    assert simulation.begin(call(100), now) is None


def test_an_end_after_its_scope_was_forgotten_changes_nothing() -> None:
    """The windows are past (rule: bounded)."""
    simulation = Simulation({(KEY, EVERY): RateLimits(tokens_per_day=10)})
    assert simulation.begin(call(1), 0) is None
    assert simulation.begin(call(2, key="j"), MEMORY + 1) is None
    simulation.end(b"1", 10**9, MEMORY + 1)
    assert simulation.begin(call(3), MEMORY + 2) is None


def test_more_than_can_be_counted_is_told() -> None:
    """Instead of taking all memory (rule: bounded, rule: refuse clearly)."""
    limits: dict[Place, RateLimits] = {(KEY, EVERY): RateLimits(burst=5)}
    scopes = Simulation(limits, scopes_max=2)
    assert scopes.begin(call(1, key="a"), 0) is None
    assert scopes.begin(call(2, key="b"), 0) is None
    with pytest.raises(InvalidCommandError, match="more than 2 keys and users"):
        scopes.begin(call(3, key="c"), 0)
    assert scopes.begin(call(4, key="c"), MEMORY + 1) is None
    calls = Simulation(limits, calls_max=1)
    assert calls.begin(call(1), 0) is None
    with pytest.raises(InvalidCommandError, match="more than 1 calls"):
        calls.begin(call(2), 1)


LIMITS = st.builds(
    RateLimits,
    requests_per_minute=st.none() | st.integers(0, 6),
    requests_per_hour=st.none() | st.integers(1, 9),
    tokens_per_minute=st.none() | st.integers(0, 60),
    tokens_per_day=st.none() | st.integers(1, 200),
    burst=st.none() | st.integers(0, 5),
    concurrency=st.none() | st.integers(0, 3),
)
STEPS = st.lists(
    st.tuples(
        st.integers(0, 40 * MINUTE.span),
        st.sampled_from("abc"),
        st.integers(0, 30),
        st.integers(0, 3 * MINUTE.span),
        st.none() | st.integers(0, 40),
    ),
    max_size=60,
)


@given(key=LIMITS, user=LIMITS, whole=LIMITS, steps=STEPS)
def test_what_the_limits_in_force_admitted_they_admit(
    key: RateLimits,
    user: RateLimits,
    whole: RateLimits,
    steps: list[tuple[int, str, int, int, int | None]],
) -> None:
    """Whatever the traffic: of the log of a gate none is refused (money rule 13)."""
    limits = {(KEY, EVERY): key, (USER, "u"): user, WHOLE: whole}
    gate: dict[Place, Counters] = {}
    log: list[tuple[int, int, Began, int | None]] = []
    running: list[tuple[int, int, Began, int | None]] = []

    def end_until(now: int) -> None:
        for ended in sorted(each for each in running if each[0] <= now):
            running.remove(ended)
            at, _, began, used = ended
            log.append((at, 1, began, used))
            for place, counters in gate.items():
                if place in {(KEY, began.key_id), (USER, "u"), WHOLE}:
                    counters.leases.pop(began.call_id, None)
                    change = 0 if used is None else used - began.tokens
                    for gauge in counters.windows:
                        if REQUESTS <= gauge < BURST:
                            window = counters.window(gauge, at)
                            window.add(ended[1] // window_of(gauge).bucket, change)

    now = 0
    for number, (pause, name, tokens, takes, used) in enumerate(steps):
        now += pause
        end_until(now)
        began = call(number, key=name, tokens=tokens)
        places = [(KEY, name), (USER, "u"), WHOLE]
        scopes = [
            (limits.get(place) or limits[KEY, EVERY], gate.setdefault(place, Counters()))
            for place in places
        ]
        verdict = admit(scopes, Asked(1, tokens), now=now, lease=began.call_id, lease_until=2**60)
        if verdict.admitted:
            log.append((now, 0, began, None))
            running.append((now + takes, now, began, used))
    end_until(now + 2**40)
    simulation = Simulation(limits)
    for at, kind, began, used in log:
        if kind:
            simulation.end(began.call_id, used, at)
        else:
            assert simulation.begin(began, at) is None
