"""The end of a maintenance, as people write it."""

from __future__ import annotations

import pytest

from command_api.health.ends import end_of
from domain.errors import InvalidCommandError


@pytest.mark.parametrize(
    "text",
    [
        *("soon", "", "9" * 10_000, "2027-01-01T00:00:00 00:00", "2027-13-01"),
        *("9999-12-31T23:59:59-01:00", "0001-01-01T00:00:00+01:00"),
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """In few words; the ends of the calendar are no way round it (rule: refuse clearly)."""
    with pytest.raises(InvalidCommandError, match="no instant") as caught:
        end_of(text)
    assert len(str(caught.value)) < 300


def test_an_instant_has_a_zone() -> None:
    """Nobody guesses which is meant (rule: refuse clearly)."""
    assert end_of("2027-01-02T02:00:00+01:00") == "2027-01-02T01:00:00.000000Z"
    for text in ("2027-01-01T00:00:00", "2027-01-01"):
        with pytest.raises(InvalidCommandError, match="no time zone"):
            end_of(text)
