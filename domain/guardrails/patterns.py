"""Operators' own patterns: a part of regular expressions whose work grows with the text alone.

A pattern is one or more ways, with `|` between; a way is one item behind the other: a character, an
escape, a class, or an edge of a word. Each item may be repeated a stated number of times, takes
all that it can, and gives nothing back (it is possessive, as Python 3.11 calls that). So no place
in a text is tried longer than the pattern's greatest length, and the whole is linear.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from domain.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Iterator

PATTERN_CHARACTERS_MAX = 500
REACH_MAX = 256
"""Most characters that a pattern's ways can match, all together."""
WINDOW_CHARACTERS = 4_096
"""So much of a text is searched at once: between two such, other threads have their turn."""
_CLASS = r"\[\^?\]?(?:\\.|[^\\\[\]])+\]"
_ITEM = re.compile(
    rf"(?P<edge>\\[bB])|(?P<one>\\[dDwWsS]|\\[^\w\s]|\\[nrt]|{_CLASS}|[^\\\[\](){{}}*+?^$|])"
    r"(?P<repeat>\?|\{\d{1,3}(?:,\d{1,3})?\})?",
    re.DOTALL,
)
_CANNOT = {
    **dict.fromkeys("*+", "say how often at most, as {1,20}"),
    **dict.fromkeys("()", "groups are not taken: write each way out, with | between"),
    **dict.fromkeys("^$", "edges are \\b alone"),
}


class PatternError(DomainError):
    """A pattern is none that is taken; the message says why, and what to write."""


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern, ready to search; raises PatternError."""
    if not 0 < len(pattern) <= PATTERN_CHARACTERS_MAX:
        message = f"a pattern has 1 to {PATTERN_CHARACTERS_MAX} characters"
        raise PatternError(message)
    made: list[str] = []
    reach = at = least = 0
    while at < len(pattern):
        if pattern[at] == "|":
            _check_way(least)
            made.append("|")
            at, least = at + 1, 0
            continue
        found = _ITEM.match(pattern, at)
        if found is None:
            why = _CANNOT.get(pattern[at], "it is no item of a pattern")
            message = f"{pattern[at]!r} at {at}: {why}"
            raise PatternError(message)
        at = found.end()
        if found["edge"]:
            made.append(found["edge"])
            continue
        fewest, most = _counts(found["repeat"] or "{1}")
        made.append(f"{found['one']}{{{fewest},{most}}}+")
        reach, least = reach + most, least + fewest
    _check_way(least)
    if reach > REACH_MAX:
        message = f"it can match {reach} characters, and the most is {REACH_MAX}"
        raise PatternError(message)
    try:
        return re.compile("".join(made))
    except (re.error, OverflowError) as error:
        message = f"it cannot be read: {error}"
        raise PatternError(message) from None


def _counts(repeat: str) -> tuple[int, int]:
    if repeat == "?":
        return 0, 1
    fewest, _, most = repeat.strip("{}").partition(",")
    return int(fewest), int(most or fewest)


def _check_way(least: int) -> None:
    if not least:
        message = "a way of it matches nothing at all"
        raise PatternError(message)


def spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Where a compiled pattern is found, as `finditer` tells it, in windows of the text."""
    begin = 0
    for window in range(0, len(text), WINDOW_CHARACTERS):
        end = window + WINDOW_CHARACTERS
        # What begins in the window ends within its reach, and the edge behind it is seen as well.
        for found in pattern.finditer(text, max(begin, window), end + REACH_MAX + 1):
            if found.start() >= end:
                break
            begin = found.end()
            yield found.span()
