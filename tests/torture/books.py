"""What the log says of the calls that somebody saw answered."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from domain.events.ledger import (
    ChargeCorrected,
    CreditsDebited,
    CreditsGranted,
    HoldExtended,
    HoldPlaced,
    HoldResolved,
    HoldSettled,
    LotExpired,
    ReceivablePaid,
)
from event_store.log.reading import read_all

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

    from event_store.log.reading import LogEntry

ANSWERED = 200
RETRIED_FROM = 500
SHOWN_MAX = 20


@dataclass
class Books:
    """Counted from the log, event by event: no code that moves money is believed."""

    settled: Counter[str] = field(default_factory=Counter)
    """Settlements by call id."""
    charged: dict[str, int] = field(default_factory=dict)
    """What a call's settlement charged, nano-USD."""
    open: set[str] = field(default_factory=set)
    """Calls whose hold has no end."""
    keyed: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """Calls by account and idempotency key."""
    overspent: set[str] = field(default_factory=set)
    """Accounts whose held and settled credits were, after some event, more than was granted."""
    _granted: Counter[str] = field(default_factory=Counter)
    _spent: Counter[str] = field(default_factory=Counter)
    _held: Counter[str] = field(default_factory=Counter)
    _holds: Counter[str] = field(default_factory=Counter)

    def read(self, connection: psycopg.Connection[Any]) -> None:
        """Count the whole log."""
        with connection.transaction():
            for entry in read_all(connection):
                self.count(entry)

    def count(self, entry: LogEntry) -> None:
        """Count one event."""
        event, call = entry.event, str(entry.event.originator_id)
        if isinstance(event, CreditsGranted):
            self._granted[event.account_id] += event.amount_nano_usd
        elif isinstance(event, CreditsDebited):
            self._spent[event.account_id] += event.taken_nano_usd
        elif isinstance(event, ReceivablePaid):
            self._spent[event.account_id] += event.amount_nano_usd
        elif isinstance(event, ChargeCorrected):
            self._spent[event.account_id] += event.taken_nano_usd - event.returned_nano_usd
        elif isinstance(event, LotExpired):
            self._spent[event.account_id] += event.breakage_nano_usd
        elif isinstance(event, (HoldPlaced, HoldExtended)):
            self._held[event.account_id] += event.amount_nano_usd
            self._holds[call] += event.amount_nano_usd
            self.open.add(call)
            if isinstance(event, HoldPlaced) and event.idempotency:
                self.keyed[event.account_id, event.idempotency["key_hash"]].add(call)
        elif isinstance(event, HoldResolved):
            self._held[event.account_id] -= self._holds.pop(call, 0)
            self._spent[event.account_id] += event.settled_nano_usd + event.breakage_nano_usd
            self.open.discard(call)
            if isinstance(event, HoldSettled):
                self.settled[call] += 1
                self.charged[call] = event.settled_nano_usd
        else:
            return
        account = event.account_id
        if self._held[account] + self._spent[account] > self._granted[account]:
            self.overspent.add(account)

    def double(self) -> list[str]:
        """Calls settled more than once, and keys under which more than one call was settled."""
        calls = [call for call, times in self.settled.items() if times > 1]
        keys = [
            f"key {key}"
            for (_, key), calls_of in self.keyed.items()
            if sum(call in self.settled for call in calls_of) > 1
        ]
        return (calls + keys)[:SHOWN_MAX]


@dataclass
class Seen:
    """What the callers wrote down."""

    calls: int = 0
    """Requests that were made."""
    answered: int = 0
    """Requests whose whole reply came with 200."""
    statuses: Counter[int] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    """Calls answered in full that the log does not charge."""
    double: list[str] = field(default_factory=list)
    """Keys that were answered under more than one call id."""
    never: int = 0
    """Keyed calls that never got an answer, however often they asked."""

    def read(self, records: Path, books: Books) -> None:
        """Compare each record with the log."""
        ids: dict[str, set[str]] = defaultdict(set)
        last: dict[str, bool] = {}
        for line in records.read_text().splitlines():
            record = json.loads(line)
            self.calls += 1
            self.statuses[record["status"]] += 1
            good = record["status"] == ANSWERED and record["whole"]
            if record["key"]:
                last[record["key"]] = good or 0 < record["status"] < RETRIED_FROM
            if not good:
                continue
            self.answered += 1
            if record["key"]:
                ids[record["key"]].add(record["call"])
            failed = record.get("error")
            if not failed and not books.charged.get(record["call"], 0):
                self.lost.append(record["call"])
        self.double += [key for key, calls in ids.items() if len(calls) > 1]
        self.never = sum(not good for good in last.values())
