"""How often an address may look for a key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edge import guesses
from edge.errors import ApiError
from edge.guesses import Guesses

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock of the guesses."""

    def set_clock(now: float) -> None:
        monkeypatch.setattr("edge.guesses.time.monotonic", lambda: now)

    return set_clock


def taken(made: Guesses, origin: str, most: int = 50) -> int:
    """How many wrong keys of the address are looked up now."""
    for number in range(most):
        try:
            made.check(origin)
        except ApiError as error:
            told = error.status, error.headers["retry-after"]
            return number if told == (429, "1") else -1
        made.count(origin)
    return most


def test_an_address_gets_its_share_in_any_second(at: Callable[[float], None]) -> None:
    """Not twice its share around a full second, and each address its own (rule: bounded)."""
    made = Guesses(3)
    at(100.9)
    assert taken(made, "a") == 3
    at(101.1)
    assert taken(made, "a") == 0
    assert taken(made, "b") == 3
    at(101.9)
    assert taken(made, "a") == 3


def test_addresses_are_remembered_to_a_bound(
    at: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that was looked up longest ago is forgotten first (rule: bounded)."""
    monkeypatch.setattr(guesses, "ORIGINS_MAX", 2)
    made = Guesses(1)
    at(100)
    assert [taken(made, each) for each in ("a", "b", "a", "c")] == [1, 1, 0, 1]
    assert len(made._asked) == 2
    assert taken(made, "c") == 0
    assert taken(made, "a") == 1
