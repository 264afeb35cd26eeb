"""How figures, lines and times of the books are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

from domain.books.aging import NAMES
from domain.books.chart import line_of
from domain.pricing.money import format_usd
from event_store.ids import to_iso

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projections.money.as_of import Time
    from projections.money.books import AsOf, ClassBalance, JournalLine


class Range(NamedTuple):
    """From a time (None is the beginning) to another one."""

    since: Time | None
    until: Time


def money(name: str, nano_usd: int) -> dict[str, Any]:
    """An amount as an integer of nano-USD, and as a decimal string of USD."""
    return {f"{name}_nano_usd": nano_usd, f"{name}_usd": format_usd(nano_usd)}


def balance_shown(each: ClassBalance, asked: dict[str, str]) -> dict[str, Any]:
    """A figure, with the way to its lines in the time that is asked for."""
    line = line_of(each.name)
    return {
        "account": each.name,
        "type": line.type,
        "normal_side": line.side,
        "report": line.report,
        **money("balance", each.balance),
        "postings": each.postings,
        "journal": link(account=each.name, **asked),
    }


def line_shown(each: JournalLine, event: tuple[str, str]) -> dict[str, Any]:
    """A line of the journal; `event` is its event's id and type."""
    after = each.balance_after
    return {
        "position": each.position,
        "line": each.line,
        "event_id": event[0],
        "event_type": event[1],
        "account": each.ledger_account,
        "account_id": str(each.account_id),
        **money("amount", each.amount),
        "balance_after_nano_usd": after,
        "booked_at": to_iso(each.booked_at),
        "dated_at": to_iso(each.dated_at),
    }


def ages_shown(found: dict[str, int] | None) -> dict[str, Any]:
    """A debt by age, where that was asked for."""
    if found is None:
        return {}
    return {"ages": {name: {**money("owed", found[name])} for name in NAMES}}


def as_of_shown(time: Time, at: AsOf) -> dict[str, Any]:
    """The time of an answer, and how far the log was known."""
    return {
        "as_of": {
            "position": at.position,
            "before": to_iso(time.at) if isinstance(time.at, datetime) else None,
            "by": "effective" if time.effective else "booked",
            "known_to_position": at.head,
        }
    }


def ends_shown(asked: Range, ends: Sequence[AsOf]) -> dict[str, Any]:
    """The two ends of an answer's time."""
    since = None if asked.since is None else as_of_shown(asked.since, ends[0])["as_of"]
    return {"from": since, "to": as_of_shown(asked.until, ends[1])["as_of"]}


def same_time(time: Time, at: AsOf) -> dict[str, str]:
    """The same time again, so that a figure and its lines say the same."""
    if isinstance(time.at, datetime):
        return {"to": _plain(time.at), "by": "effective" if time.effective else "booked"}
    return {"to": str(at.position)}


def same_range(asked: Range, ends: dict[str, Any]) -> dict[str, str]:
    """The same two times again, for the lines of a figure."""
    found = {"by": "effective" if asked.until.effective else "booked"}
    for name, time in (("from", asked.since), ("to", asked.until)):
        if time is not None:
            instant = isinstance(time.at, datetime)
            found[name] = _plain(time.at) if instant else str(ends[name]["position"])
    if asked.until.at is None and asked.until.effective:
        found["to"] = ""
    return {name: value for name, value in found.items() if value}


def _plain(instant: Any) -> str:
    return to_iso(instant.astimezone(UTC))


def link(**asked: str) -> str:
    """The path to lines of the journal."""
    return f"/finance/journal?{urlencode(asked)}"
