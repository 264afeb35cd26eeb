"""What rankings of models and of apps share: daily counters, and who used what on a day."""

from __future__ import annotations

from abc import abstractmethod
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from domain.events.ledger import HoldSettled
from projections.call_facts import counted_tokens, day_of
from projections.engine.projection import Projection, select_on
from projections.engine.register import registered
from projections.engine.sinks.port import REDIS, SinkUnavailableError
from projections.engine.sinks.redis import RedisSink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import psycopg

    from event_store.log.reading import LogEntry
    from projections.engine.sinks.port import Sink
    from projections.engine.tables import Changes, Row, Table

    ReadDay = Callable[[Table, str], Iterable[Row]]
    """The rows of a table on a day, which is ISO 8601."""

RANKED_MAX = 1_000
WINDOW_DAYS_MAX = 365

Order = Literal["requests", "tokens", "users"]


class Ranking(Projection):
    """Counts settled calls of a day by some subject, and the accounts that made them."""

    counters: ClassVar[Table]
    users: ClassVar[Table]
    handles = (HoldSettled,)
    in_redis = True

    @abstractmethod
    def subject(self, event: HoldSettled) -> tuple[str, ...] | None:
        """What is ranked; None when the call counts for nothing."""

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Count a charged call on its day."""
        event = entry.event
        assert isinstance(event, HoldSettled)
        subject = self.subject(event)
        if subject is None:
            return
        day = day_of(event.effective_at)
        changes.merge(self.counters, (day, *subject), (1, counted_tokens(event)))
        changes.merge(self.users, (day, *subject, event.account_id), (1,))

    def rank(
        self,
        read_day: ReadDay,
        *,
        last_day: str,
        days: int,
        order: Order = "requests",
        limit: int = 50,
    ) -> list[dict[str, Any]]:
        """The leading subjects of a window of days, with the trend against the window before.

        `last_day` is ISO 8601; `trend_ppm` is the change in parts per million, None when the
        window before had none.
        """
        days, limit = min(max(days, 1), WINDOW_DAYS_MAX), min(max(limit, 1), RANKED_MAX)
        last = date.fromisoformat(last_day)
        now = self._window(read_day, last, days)
        before = self._window(read_day, last - timedelta(days=days), days)
        place = ("requests", "tokens", "users").index(order)
        leading = sorted(now.items(), key=lambda item: (-item[1][place], item[0]))[:limit]
        names = [each.name for each in self.counters.keys[1:]]
        return [
            {
                "rank": rank,
                **dict(zip(names, subject, strict=True)),
                "requests": figures[0],
                "tokens": figures[1],
                "users": figures[2],
                "trend_ppm": _trend(figures[place], before.get(subject, (0, 0, 0))[place]),
            }
            for rank, (subject, figures) in enumerate(leading, start=1)
        ]

    def _window(
        self, read_day: ReadDay, last: date, days: int
    ) -> dict[tuple[Any, ...], tuple[int, int, int]]:
        sums: dict[tuple[Any, ...], list[int]] = {}
        accounts: dict[tuple[Any, ...], set[str]] = {}
        for back in range(days):
            day = (last - timedelta(days=back)).isoformat()
            for row in read_day(self.counters, day):
                figures = sums.setdefault(tuple(row[1:-2]), [0, 0])
                figures[0] += row[-2]
                figures[1] += row[-1]
            for row in read_day(self.users, day):
                accounts.setdefault(tuple(row[1:-2]), set()).add(str(row[-2]))
        return {
            subject: (figures[0], figures[1], len(accounts.get(subject, ())))
            for subject, figures in sums.items()
        }


def _trend(now: int, before: int) -> int | None:
    return (now - before) * 1_000_000 // before if before else None


def day_reader(
    connection: psycopg.Connection[Any], sinks: Mapping[str, Sink], ranking: Ranking
) -> ReadDay:
    """Reads the days of a ranking where it is kept; raises SinkUnavailableError."""
    version, kept_in = registered(connection, ranking)
    if kept_in == REDIS:
        sink = sinks.get(REDIS)
        if not isinstance(sink, RedisSink):
            message = "rankings are kept in Redis, which is not configured here"
            raise SinkUnavailableError(message)
        return lambda table, day: sink.leading(table, version, day)
    select = select_on(connection)
    return lambda table, day: select(
        f"SELECT {', '.join(table.names)} FROM {table.view} WHERE day = %s", [day]
    )
