"""The windows of a quota: where a day or a month begins and ends, in a zone given as data.

Instants are whole seconds since 1970-01-01T00:00:00Z or, as events write them, ISO 8601 in UTC with
microseconds. A zone is the table of its offsets, so that nothing here depends on a host's files.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    Offsets = Sequence[tuple[int, int]]
    """From which instant on a zone is so many seconds ahead of UTC, oldest first."""

DAY_S = 86_400
MARCH = 3
UTC: Offsets = ((0, 0),)
UTC_NAME = "UTC"
TOTAL_BEGINS = "1970-01-01T00:00:00.000000Z"
"""Where the only window of `total` begins."""


class Window(StrEnum):
    """How long a quota counts before it begins anew; `total` never does."""

    DAY = "day"
    MONTH = "month"
    TOTAL = "total"


def begin_of(window: Window, instant: str, zone: Offsets = UTC) -> str:
    """Where the window of an instant begins."""
    if window is Window.TOTAL:
        return TOTAL_BEGINS
    return iso_of(_utc(_local_begin(window, _local(instant, zone)) * DAY_S, zone))


def end_of(window: Window, instant: str, zone: Offsets = UTC) -> str | None:
    """Where it ends, which is when it resets; None for what never does."""
    if window is Window.TOTAL:
        return None
    begin = _local_begin(window, _local(instant, zone))
    days = 1 if window is Window.DAY else 31
    return iso_of(_utc(_local_begin(window, (begin + days) * DAY_S) * DAY_S, zone))


def seconds_of(instant: str) -> int:
    """Whole seconds since 1970 of an instant as events write it."""
    days = _days(int(instant[0:4]), int(instant[5:7]), int(instant[8:10]))
    hour, minute, second = int(instant[11:13]), int(instant[14:16]), int(instant[17:19])
    return days * DAY_S + hour * 3_600 + minute * 60 + second


def iso_of(seconds: int) -> str:
    """The contrary."""
    days, rest = divmod(seconds, DAY_S)
    year, month, day = _date(days)
    minutes, second = divmod(rest, 60)
    return f"{year:04}-{month:02}-{day:02}T{minutes // 60:02}:{minutes % 60:02}:{second:02}.000000Z"


def _local(instant: str, zone: Offsets) -> int:
    seconds = seconds_of(instant)
    return seconds + _offset(seconds, zone)


def _local_begin(window: Window, local: int) -> int:
    """The day with which the window begins, counted from 1970-01-01."""
    days = local // DAY_S
    if window is Window.DAY:
        return days
    year, month, _ = _date(days)
    return _days(year, month, 1)


def _offset(seconds: int, zone: Offsets) -> int:
    found = zone[0][1]
    for begins, offset in zone:
        if begins <= seconds:
            found = offset
    return found


def _utc(local: int, zone: Offsets) -> int:
    """The instant of a local time: of two the later, as PostgreSQL has it.

    Where clocks were put forward over it there is none: then it is as before they were.
    """
    found = {local - _offset(local - DAY_S, zone), local - _offset(local + DAY_S, zone)}
    there = [each for each in found if each + _offset(each, zone) == local]
    return max(there or found)


def _days(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the Gregorian calendar.

    Years begin in March here, so that a leap day is the last of its year.
    """
    shifted = year - (month < MARCH)
    before = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400
    return before + (153 * ((month + 9) % 12) + 2) // 5 + day - 719_469


def _date(days: int) -> tuple[int, int, int]:
    """The contrary: year, month, day."""
    era, of_era = divmod(days + 719_468, 146_097)
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    shifted = (5 * of_year + 2) // 153
    month = (shifted + 2) % 12 + 1
    return era * 400 + year + (month < MARCH), month, of_year - (153 * shifted + 2) // 5 + 1
