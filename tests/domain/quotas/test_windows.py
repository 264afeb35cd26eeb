"""Where days and months begin and end, in zones given as tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.quotas.windows import TOTAL_BEGINS, Window, begin_of, end_of, iso_of, seconds_of

DAY, MONTH, TOTAL = Window.DAY, Window.MONTH, Window.TOTAL


def iso(instant: datetime) -> str:
    """As events write it."""
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def table_of(name: str) -> list[tuple[int, int]]:
    """The offsets of a named zone, hour by hour through 2024 to 2027."""
    zone, found = ZoneInfo(name), list[tuple[int, int]]()
    at = datetime(2024, 1, 1, tzinfo=UTC)
    while at.year < 2028:
        offset = at.astimezone(zone).utcoffset()
        assert offset is not None
        seconds = int(offset.total_seconds())
        if not found or found[-1][1] != seconds:
            found.append((int(at.timestamp()) if found else 0, seconds))
        at += timedelta(minutes=30)
    return found


@pytest.mark.parametrize(
    ("window", "instant", "begins", "ends"),
    [
        (DAY, "2026-01-31T23:59:59.999999Z", "2026-01-31T00", "2026-02-01T00"),
        (DAY, "2026-02-01T00:00:00.000000Z", "2026-02-01T00", "2026-02-02T00"),
        (DAY, "2024-02-28T12:00:00.000000Z", "2024-02-28T00", "2024-02-29T00"),
        (DAY, "2100-02-28T12:00:00.000000Z", "2100-02-28T00", "2100-03-01T00"),
        (DAY, "2026-12-31T12:00:00.000000Z", "2026-12-31T00", "2027-01-01T00"),
        (MONTH, "2024-02-29T12:00:00.000000Z", "2024-02-01T00", "2024-03-01T00"),
        (MONTH, "2026-01-31T23:59:59.999999Z", "2026-01-01T00", "2026-02-01T00"),
        (MONTH, "2026-12-31T12:00:00.000000Z", "2026-12-01T00", "2027-01-01T00"),
        (MONTH, "2026-02-01T00:00:00.000000Z", "2026-02-01T00", "2026-03-01T00"),
    ],
)
def test_days_and_months_of_utc(window: Window, instant: str, begins: str, ends: str) -> None:
    """A window has its first instant and not that of the next one (money rule 13)."""
    assert begin_of(window, instant) == f"{begins}:00:00.000000Z"
    assert end_of(window, instant) == f"{ends}:00:00.000000Z"


def test_the_whole_never_ends() -> None:
    """`total` begins once and resets never (money rule 13)."""
    assert begin_of(TOTAL, "2026-05-05T05:05:05.000000Z") == TOTAL_BEGINS == iso_of(0)
    assert end_of(TOTAL, "2026-05-05T05:05:05.000000Z") is None


@pytest.mark.parametrize(
    ("zone", "instant", "begins", "ends"),
    [
        ("Europe/Berlin", "2026-03-29T12:00:00.000000Z", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25T12:00:00.000000Z", "2026-10-24T22:00", "2026-10-25T23:00"),
        ("Asia/Kolkata", "2026-01-31T18:29:59.000000Z", "2026-01-30T18:30", "2026-01-31T18:30"),
        # Clocks go from 24:00 to 01:00: that day begins at one o'clock.
        ("Africa/Cairo", "2026-04-24T12:00:00.000000Z", "2026-04-23T22:00", "2026-04-24T21:00"),
        # From 01:00 back to 00:00: of two midnights the later.
        ("America/Havana", "2026-11-01T12:00:00.000000Z", "2026-11-01T05:00", "2026-11-02T05:00"),
    ],
)
def test_days_of_zones_that_change_their_clocks(
    zone: str, instant: str, begins: str, ends: str
) -> None:
    """23 hours, 25, or a midnight that is not there or there twice (money rule 13)."""
    table = table_of(zone)
    assert begin_of(DAY, instant, table) == f"{begins}:00.000000Z"
    assert end_of(DAY, instant, table) == f"{ends}:00.000000Z"


ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Pacific/Kiritimati"]
TABLES = {name: table_of(name) for name in ZONES}
instants = st.integers(1_704_153_600, 1_830_000_000)


@given(instants, st.sampled_from([DAY, MONTH]), st.sampled_from(ZONES))
def test_every_instant_lies_in_one_window(at: int, window: Window, zone: str) -> None:
    """It begins before or now, ends later, and the next begins where it ends (money rule 13)."""
    table, instant = TABLES[zone], iso_of(at)
    begins, ends = begin_of(window, instant, table), end_of(window, instant, table)
    assert ends is not None
    assert begins <= instant < ends
    assert begin_of(window, begins, table) == begins
    assert begin_of(window, ends, table) == ends
    local = datetime.fromtimestamp(at, ZoneInfo(zone))
    first = local.replace(hour=0, minute=0, second=0, day=1 if window is MONTH else local.day)
    assert begins == iso(first)


@given(st.integers(-(10**10), 2 * 10**11))
def test_seconds_and_text_agree(at: int) -> None:
    """The calendar is that of the standard library (money rule 13)."""
    text = iso(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=at))
    assert iso_of(at) == text
    assert seconds_of(text) == at
