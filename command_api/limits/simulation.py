"""A past time's calls, streamed from the log, held against limits that a file names.

What was refused then left no hold, so the log does not know of it. Instants are those at which the
holds were booked, a moment after their calls were admitted. The limits count from the begin of
the time, as if they were set then.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from domain.errors import InvalidCommandError
from domain.events.ledger import HoldExpired, HoldPlaced, HoldSettled, HoldVoided
from domain.limits.rates import (
    FIELDS,
    NO_LIMITS,
    OF_PLANS,
    SYSTEM_ID,
    LimitScope,
    RateLimits,
    check_limits,
    tightest,
    with_plan,
)
from domain.limits.simulation import EVERY, Began, Refused, Simulation
from domain.limits.windows import REASONS
from event_store.beside.organisations import read_accounts
from event_store.ids import to_iso
from event_store.log.reading import position_at, read_all_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from domain.limits.simulation import Place
    from event_store.log.reading import StoredRow
    from event_store.postgres.database import Database

FILE_BYTES_MAX = 16 * 1024 * 1024
LINES_MAX = 100_000
REFUSED_MAX = 100_000
"""Most lines of a report; what is refused beyond them is counted alone."""
REPORT_EVERY = 5_000
EPOCH, MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
INSTANT = timedelta(microseconds=1)
"""The least difference of two instants."""
TOPICS = [each.TOPIC for each in (HoldPlaced, HoldSettled, HoldVoided, HoldExpired)]


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line of the file, as `gatewayz limit list --json` prints them."""

    scope: LimitScope
    id: str | None = None
    set_by: str | None = None
    plan: str | None = None
    requests_per_minute: int | None = None
    requests_per_hour: int | None = None
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    tokens_per_hour: int | None = None
    tokens_per_day: int | None = None
    burst: int | None = None
    concurrency: int | None = None


class _Fact(msgspec.Struct):
    """What counts of an event of a call."""

    account_id: str = ""
    key_id: str = ""
    user_id: str = ""
    input_tokens_bound: int = 0
    output_tokens_bound: int = 0
    usage: dict[str, Any] = {}


_line = msgspec.json.Decoder(_Line).decode
_fact = msgspec.json.Decoder(_Fact).decode


class Whose(NamedTuple):
    """Whose calls a limit would have refused."""

    refused: Refused
    key_id: str
    user_id: str


class Times(NamedTuple):
    """How often, and when first and last."""

    calls: int
    first: datetime
    last: datetime


class Report:
    """What a simulation came to."""

    def __init__(self) -> None:
        """Nothing yet."""
        self.requests = self.refused = self.not_listed = 0
        self._refused: dict[Whose, Times] = {}

    def note(self, refused: Refused, call: Began, at: datetime) -> None:
        """A call was refused."""
        self.refused += 1
        whose = Whose(refused, call.key_id, call.user_id)
        known = self._refused.get(whose)
        if known is None:
            if len(self._refused) >= REFUSED_MAX:
                self.not_listed += 1
                return
            known = Times(0, at, at)
        self._refused[whose] = Times(known.calls + 1, known.first, at)

    def lines(self) -> list[dict[str, Any]]:
        """By limit, key and user, those that were refused most first."""
        ordered = sorted(self._refused.items(), key=lambda each: (-each[1].calls, each[1].first))
        return [
            {
                "scope": str(whose.refused.scope),
                "scope_id": whose.refused.scope_id,
                "reason": REASONS[whose.refused.gauge],
                "limit": whose.refused.limit,
                "key_id": whose.key_id,
                "user_id": whose.user_id,
                "refused": times.calls,
                "first": to_iso(times.first),
                "last": to_iso(times.last),
            }
            for whose, times in ordered
        ]


def read_limits(raw: bytes) -> dict[Place, RateLimits]:
    """The limits of a file: a JSON object a line. Raises InvalidCommandError naming the line."""
    if len(raw) > FILE_BYTES_MAX:
        message = f"the file of limits is larger than {FILE_BYTES_MAX} bytes"
        raise InvalidCommandError(message)
    lines = [(number, text) for number, text in enumerate(raw.splitlines(), 1) if text.strip()]
    if not lines or len(lines) > LINES_MAX:
        message = f"the file of limits has {len(lines)} limits: it must have 1 to {LINES_MAX}"
        raise InvalidCommandError(message)
    found: dict[Place, RateLimits] = {}
    for number, text in lines:
        try:
            place, limits = _read(_line(text))
        except (msgspec.MsgspecError, UnicodeDecodeError, InvalidCommandError) as error:
            message = f"line {number} of the file of limits: {error}"
            raise InvalidCommandError(message) from None
        found[place] = tightest(found.get(place, NO_LIMITS), limits)
    return found


def _read(line: _Line) -> tuple[Place, RateLimits]:
    """Whose limits a line has, and which; raises InvalidCommandError."""
    given = {name: each for name in FIELDS if (each := getattr(line, name)) is not None}
    limits = check_limits(given, line.plan)
    if line.plan is not None and line.scope not in {LimitScope.USER, LimitScope.ORGANISATION}:
        message = "a plan is of a user or an organisation"
        raise InvalidCommandError(message)
    if line.scope in OF_PLANS:
        message = f"the limits of a {line.scope} are no line of the file: take those of its users"
        raise InvalidCommandError(message)
    if line.scope is LimitScope.SYSTEM:
        if line.id not in {None, SYSTEM_ID}:
            message = "limits of the system have no id"
            raise InvalidCommandError(message)
        return (line.scope, SYSTEM_ID), limits
    if line.id == EVERY:
        return (line.scope, EVERY), with_plan(limits, line.plan)
    try:
        return (line.scope, str(UUID(line.id or ""))), with_plan(limits, line.plan)
    except ValueError:
        message = f'id must be that of the {line.scope}, or "{EVERY}" for each'
        raise InvalidCommandError(message) from None


def simulate(
    database: Database,
    limits: Mapping[Place, RateLimits],
    since: datetime,
    until: datetime,
    progress: Callable[[int, int], None],
) -> Report:
    """Who would have been refused of the calls begun at `since` or later and before `until`.

    The log is streamed, and memory bounded. `progress` is told positions: how many of how many.
    Raises InvalidCommandError.
    """
    if since >= until:
        message = "--from must be before --to"
        raise InvalidCommandError(message)
    report, simulation = Report(), Simulation(limits)
    limited = any(scope is LimitScope.ORGANISATION for scope, _ in limits)
    with database.connect() as connection, connection.transaction():
        organisations = read_accounts(connection) if limited else {}
        begin, end = (position_at(connection, each - INSTANT) for each in (since, until))
        rows = read_all_rows(connection, after=begin, to_position=end, topics=TOPICS)
        for number, row in enumerate(rows):
            if number % REPORT_EVERY == 0:
                progress(row[0] - begin, end - begin)
            _apply(simulation, report, row, organisations)
        progress(end - begin, end - begin)
    return report


def _apply(
    simulation: Simulation, report: Report, row: StoredRow, organisations: Mapping[str, str]
) -> None:
    _, booked_at, topic, state, stream, _ = row
    now = (booked_at - EPOCH) // MILLISECOND
    fact = _fact(bytes(state))
    if topic == HoldPlaced.TOPIC:
        bound = fact.input_tokens_bound + fact.output_tokens_bound
        organisation = organisations.get(fact.account_id, "")
        call = Began(stream.bytes, fact.key_id, fact.user_id, bound, organisation)
        report.requests += 1
        refused = simulation.begin(call, now)
        if refused is not None:
            report.note(refused, call, booked_at)
    elif topic == HoldExpired.TOPIC:
        simulation.end(stream.bytes, None, now)
    else:
        usage = fact.usage
        used = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
        simulation.end(stream.bytes, used, now)
