"""Finds personal data by its form: e-mail addresses, phone numbers, cards, IBANs, IP addresses.

Sources: RFC 5321, 4.5.3.1 (lengths of an address), ITU-T E.164 (15 digits of a phone number),
ISO/IEC 7812-1 (cards, and their check digit by Luhn), ISO 13616-1 and SWIFT's IBAN registry
(lengths, and the check by 97), RFC 4291, 2.2. Each expression's matches have a greatest length, and
none goes back over more than that, so the work grows with the text's length alone.
"""

from __future__ import annotations

import re
from enum import StrEnum
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import TYPE_CHECKING, NamedTuple

from domain.guardrails.folding import folded
from domain.guardrails.patterns import spans

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator


class Kind(StrEnum):
    """What is found without an operator's own pattern."""

    EMAIL = "EMAIL"
    IBAN = "IBAN"
    CARD = "CARD"
    IP = "IP"
    PHONE = "PHONE"


class Span(NamedTuple):
    """Where something stands in a text, and what it is."""

    start: int
    end: int
    kind: str


Finder = tuple[str, re.Pattern[str]]
"""An operator's pattern and its name."""
CARD_DIGITS = range(13, 20)
_EMAIL = re.compile(
    r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}+@(?:[^\W_](?:[\w-]{0,62})\.){1,8}[^\W_][\w-]{1,62}"
)
_IBAN = re.compile(r"(?<![0-9A-Za-z])[A-Za-z]{2}\d{2}(?:[ -]?[0-9A-Za-z]){11,30}+")
_CARD = re.compile(r"(?<!\d)\d(?:[ .-]?\d){12,63}+")
_IPV4 = re.compile(r"(?<![\w.])\d{1,3}+\.\d{1,3}+\.\d{1,3}+\.\d{1,3}+(?![\w]|\.\d)")
_IPV6 = re.compile(
    r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}+:){2,8}[0-9A-Fa-f]{0,4}(?:(?:\.\d{1,3}){3})?(?![\w:])"
)
_PHONE = re.compile(
    r"(?<![\w+])(?:"
    r"\+\(?\d(?:[ ./()-]{0,2}+\d){6,14}+"
    r"|\(?0(?:[ ./()-]{0,2}+\d){6,14}+"
    r"|(?:1[ .-])?\(?[2-9]\d\d\)?[ .-]{1,2}\d{3}[ .-]\d{4}"
    r")(?!\w)"
)
IBAN_LENGTHS = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FI FO GL NL",
        19: "MK SI",
        20: "AT BA EE KZ LT LU XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "PT ST",
        26: "IS TR",
        27: "FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HU LB PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU",
        31: "MT SC",
        32: "LC",
    }.items()
    for country in countries.split()
}
"""Characters of an IBAN by its country; of others none is known."""


def find(text: str, kinds: Collection[Kind], patterns: Iterable[Finder] = ()) -> list[Span]:
    """What stands in a text, in its order; where two overlap, the kind that is named first."""
    seen = folded(text)
    taken: list[Span] = []
    for kind in Kind:
        if kind in kinds:
            _take(taken, (Span(start, end, kind) for start, end in _FINDERS[kind](seen.text)))
    for name, pattern in patterns:
        _take(taken, (Span(start, end, name) for start, end in spans(pattern, seen.text)))
    return [Span(*seen.span(each.start, each.end), each.kind) for each in taken]


def _take(taken: list[Span], found: Iterable[Span]) -> None:
    """Add what overlaps nothing that was taken before; both are in the text's order."""
    merged: list[Span] = []
    at = 0
    for each in found:
        while at < len(taken) and taken[at].end <= each.start:
            merged.append(taken[at])
            at += 1
        if at == len(taken) or taken[at].start >= each.end:
            merged.append(each)
    merged += taken[at:]
    taken[:] = merged


def _emails(text: str) -> Iterator[tuple[int, int]]:
    if "@" in text:
        yield from (each.span() for each in _EMAIL.finditer(text))


def _phones(text: str) -> Iterator[tuple[int, int]]:
    yield from (each.span() for each in _PHONE.finditer(text))


def _cards(text: str) -> Iterator[tuple[int, int]]:
    """A run of digits may hold a card and what follows it: parts that begin and end as groups."""
    for run in _CARD.finditer(text):
        digits = [at for at in range(run.start(), run.end()) if text[at].isdecimal()]
        at = 0
        while at < len(digits):
            length = _card_at(text, digits, at)
            if length:
                yield digits[at], digits[at + length - 1] + 1
            at += length or 1


def _card_at(text: str, digits: list[int], at: int) -> int:
    """How many digits a card has that begins here, the most that it can; 0 for none."""
    if at and digits[at] == digits[at - 1] + 1:
        return 0
    if text[digits[at]] not in "23456":
        return 0
    for length in reversed(CARD_DIGITS):
        end = at + length
        if end > len(digits) or (end < len(digits) and digits[end] == digits[end - 1] + 1):
            continue
        if _luhn([int(text[each]) for each in digits[at:end]]):
            return length
    return 0


def _luhn(digits: list[int]) -> bool:
    twice = sum(sum(divmod(2 * each, 10)) for each in digits[-2::-2])
    return (twice + sum(digits[-1::-2])) % 10 == 0


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        places = [at for at in range(*found.span()) if text[at] not in " -"]
        length = IBAN_LENGTHS.get(text[places[0] : places[1] + 1].upper(), len(places) + 1)
        if length > len(places):
            continue
        end = places[length - 1] + 1
        iban = "".join(text[at] for at in places[:length]).upper()
        if not text[end : end + 1].isalnum() and _checked_by_97(iban):
            yield places[0], end


def _checked_by_97(iban: str) -> bool:
    return int("".join(str(int(each, 36)) for each in iban[4:] + iban[:4])) % 97 == 1


def _addresses(text: str) -> Iterator[tuple[int, int]]:
    found = [
        each.span()
        for pattern, kind in ((_IPV4, IPv4Address), (_IPV6, IPv6Address))
        for each in pattern.finditer(text)
        if _is_address(each[0], kind)
    ]
    end = 0
    for span in sorted(found):
        if span[0] >= end:
            yield span
            end = span[1]


def _is_address(text: str, kind: type[IPv4Address | IPv6Address]) -> bool:
    try:
        return not kind(text).is_unspecified
    except AddressValueError:
        return False


_FINDERS: dict[Kind, Callable[[str], Iterator[tuple[int, int]]]] = {
    Kind.EMAIL: _emails,
    Kind.IBAN: _ibans,
    Kind.CARD: _cards,
    Kind.IP: _addresses,
    Kind.PHONE: _phones,
}
