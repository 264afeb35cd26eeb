"""A key that quotas bind gives no request that it has not itself."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.identity.api_keys import BeyondOwnLimitsError
from domain.identity.given_requests import (
    NOTHING,
    Holding,
    check_ceiling,
    check_own,
    check_writes_others,
    cost_of_giving,
)

FREE = Holding()
amounts = st.integers(0, 50)


@given(
    left=amounts,
    wishes=st.lists(st.tuples(st.integers(0, 3), st.none() | amounts), max_size=20),
)
@example(left=1, wishes=[(0, 2)])
def test_what_a_key_gives_it_had(left: int, wishes: list[tuple[int, int | None]]) -> None:
    """Whatever it asks for: all limits together never rise, and none is lifted (money rule 13)."""
    asking = Holding(limit=left, left=left)
    others: dict[int, Holding] = {}
    for name, wanted in wishes:
        before = left_of(asking, others)
        try:
            lost = cost_of_giving(asking, others.get(name, NOTHING), wanted)
        except BeyondOwnLimitsError:
            continue
        assert wanted is not None
        asking = Holding(asking.left - lost, asking.left - lost)
        others[name] = Holding(limit=wanted, left=wanted)
        assert left_of(asking, others) <= before
    assert asking.left >= 0


def left_of(asking: Holding, others: dict[int, Holding]) -> int:
    """What all of them may do together."""
    return asking.left + sum(each.left for each in others.values())


def test_a_key_without_quotas_gives_what_it_likes() -> None:
    """To new keys and to others (rule: access)."""
    for wanted in (None, 0, 10**18):
        assert cost_of_giving(FREE, NOTHING, wanted) == 0
        assert cost_of_giving(FREE, Holding(limit=1), wanted) == 0
        check_own(FREE, wanted)
    check_writes_others(FREE)


def test_a_key_with_other_quotas_makes_none() -> None:
    """What binds it would not bind them; it may limit others (rule: access)."""
    asking = Holding(otherwise=True)
    with pytest.raises(BeyondOwnLimitsError, match="makes no others"):
        cost_of_giving(asking, NOTHING, 1)
    with pytest.raises(BeyondOwnLimitsError, match="writes no other"):
        check_writes_others(asking)
    with pytest.raises(BeyondOwnLimitsError, match="gives none without"):
        cost_of_giving(asking, Holding(limit=5), None)
    assert cost_of_giving(asking, FREE, 5) == 0
    assert cost_of_giving(Holding(limit=1, left=0), FREE, 5) == 0


@pytest.mark.parametrize("wanted", [None, 6, 10**18])
def test_neither_its_own_limit_nor_the_operators_is_passed(wanted: int | None) -> None:
    """Nor lifted (rule: access)."""
    with pytest.raises(BeyondOwnLimitsError, match="does not raise its own"):
        check_own(Holding(limit=5, left=5), wanted)
    with pytest.raises(BeyondOwnLimitsError, match="5 at most"):
        check_ceiling(5, wanted)


def test_less_than_both_is_fine() -> None:
    """Down to nothing (rule: access)."""
    for wanted in (0, 5):
        check_own(Holding(limit=5, left=0), wanted)
        check_ceiling(5, wanted)
    check_ceiling(None, None)
