"""`usage_by_hour`: requests, tokens, money and latency by hour, account, key, model, provider."""

from __future__ import annotations

from bisect import bisect_left
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from domain.events.ledger import HoldResolved
from projections.call_facts import facts_of, hour_of
from projections.engine.projection import Projection
from projections.engine.tables import Table, counts, key, sums

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from event_store.log.reading import LogEntry
    from projections.engine.projection import Select
    from projections.engine.tables import Changes, Row

LATENCY_BOUNDS_MS = (100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000)
"""Upper bounds of the latency histogram's buckets, milliseconds; the last bucket has none."""
BUCKETS = (
    *(f"calls_{low}_to_{high}_ms" for low, high in pairwise((0, *LATENCY_BOUNDS_MS))),
    f"calls_over_{LATENCY_BOUNDS_MS[-1]}_ms",
)

USAGE_BY_HOUR = Table(
    name="usage_by_hour",
    about="What was used in an hour; times in milliseconds, money in nano-USD. "
    "`calls_A_to_B_ms` counts calls that took more than A and at most B ms. `cost_nano_usd` is "
    "what the house owes its providers, `margin_nano_usd` what was charged beyond it. Of "
    "`requests`, `own_key_requests` went with a customer's own provider key, for fees of "
    "`own_key_charged_nano_usd`; `own_key_cost_nano_usd` is what those customers owe their "
    "providers, at the catalog's prices, and in no other figure.",
    columns=(
        key("hour", "timestamptz"),
        key("account_id", "uuid"),
        key("key_id", "text"),
        key("provider", "text"),
        key("model", "text"),
        *counts("requests", "errors"),
        *sums("input_tokens", "output_tokens"),
        *sums("cached_input_tokens", "reasoning_tokens"),
        *sums("cost_nano_usd", "charged_nano_usd", "margin_nano_usd"),
        *sums("total_latency_ms", "total_first_output_ms"),
        *counts("first_outputs", *BUCKETS),
        *counts("own_key_requests"),
        *sums("own_key_charged_nano_usd", "own_key_cost_nano_usd"),
    ),
    indexes=("account_id, hour",),
)


class UsageByHour(Projection):
    """See the module."""

    name = "usage_by_hour"
    about = "Requests, tokens, money and latency by hour."
    tables = (USAGE_BY_HOUR,)
    handles = (HoldResolved,)
    revision = 4

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Count a call that ended in the hour of its end."""
        event = entry.event
        assert isinstance(event, HoldResolved)
        facts = changes.worked.once(facts_of, entry.position, event)
        histogram = [0] * len(BUCKETS)
        if facts.duration_ms is not None:
            histogram[bisect_left(LATENCY_BOUNDS_MS, facts.duration_ms)] = 1
        first = facts.first_output_ms
        row = (
            hour_of(event.effective_at),
            event.account_id,
            facts.key_id,
            facts.provider,
            facts.model,
        )
        figures = (
            1,
            0 if facts.settled else 1,
            facts.input_tokens,
            facts.output_tokens,
            facts.cached_input_tokens,
            facts.reasoning_tokens,
            facts.cost,
            facts.charged,
            facts.charged - facts.cost,
            facts.duration_ms or 0,
            first or 0,
            0 if first is None else 1,
        )
        own = (1, facts.charged) if facts.own_key else (0, 0)
        changes.merge(USAGE_BY_HOUR, row, (*figures, *histogram, *own, facts.own_key_cost))


def read_traffic_rows(select: Select, *, since: datetime) -> list[Row]:
    """What was asked since the begin of an hour: by offer, by provider, and altogether.

    Each row is provider, model, what it is grouped by (0 for both, 1 for the provider, 3 for
    neither), requests, tokens, charged in nano-USD, output tokens, time in milliseconds, accounts;
    the most requests first. Without any traffic the sums are None.
    """
    return select(
        "SELECT coalesce(provider, ''), coalesce(model, ''), grouping(provider, model), "
        "sum(requests), sum(input_tokens + output_tokens), sum(charged_nano_usd), "
        "sum(output_tokens), sum(total_latency_ms), count(DISTINCT account_id) "
        f"FROM {USAGE_BY_HOUR.view} WHERE hour >= %s "
        "GROUP BY GROUPING SETS ((provider, model), (provider), ()) ORDER BY 4 DESC, 1, 2",
        [since],
    )


class Used(NamedTuple):
    """Charged calls of a time, their tokens, and what they cost in nano-USD."""

    requests: int
    tokens: int
    charged: int


class AccountUse(NamedTuple):
    """What an account used since the begins of a day and a month; the month's most used model."""

    day: Used
    month: Used
    model: str | None


def read_account_use(
    select: Select, account_id: UUID, *, day: datetime, month: datetime
) -> AccountUse:
    """The sums since whole hours, `month` the earlier one."""
    rows = select(
        "SELECT provider || '/' || model, hour >= %s, sum(requests - errors), "
        "sum(input_tokens + output_tokens), sum(charged_nano_usd) "
        f"FROM {USAGE_BY_HOUR.view} WHERE account_id = %s AND hour >= %s GROUP BY 1, 2",
        [day, account_id, month],
    )
    calls: dict[str, int] = {}
    sums = {False: (0, 0, 0), True: (0, 0, 0)}
    for model, today, requests, tokens, charged in rows:
        calls[model] = calls.get(model, 0) + requests
        before = sums[today]
        sums[today] = (before[0] + requests, before[1] + tokens, before[2] + charged)
    charged_ones = sorted(model for model, count in calls.items() if count)
    most = max(charged_ones, key=lambda model: calls[model], default=None)
    whole = (mine + yours for mine, yours in zip(sums[False], sums[True], strict=True))
    return AccountUse(Used(*sums[True]), Used(*whole), most)


class SystemUse(NamedTuple):
    """What everybody used: calls that ended, those that failed, money in nano-USD, time in ms."""

    accounts: int
    requests: int
    errors: int
    tokens: int
    charged: int
    latency_ms: int


def read_system_use(select: Select, *, since: datetime) -> SystemUse:
    """The sums since the begin of an hour."""
    (row,) = select(
        "SELECT count(DISTINCT account_id), coalesce(sum(requests), 0), "
        "coalesce(sum(errors), 0), "
        "coalesce(sum(input_tokens + output_tokens), 0), "
        "coalesce(sum(charged_nano_usd), 0), "
        f"coalesce(sum(total_latency_ms), 0) FROM {USAGE_BY_HOUR.view} WHERE hour >= %s",
        [since],
    )
    return SystemUse(*row)


def read_top_accounts(
    select: Select, *, since: datetime, limit: int
) -> list[tuple[str | None, str, Used]]:
    """User, account and use of those who used most since the begin of an hour, by what it cost."""
    rows = select(
        "SELECT u.user_id::text, t.* FROM (SELECT account_id::text, sum(requests - errors) "
        "AS requests, sum(input_tokens + output_tokens) AS tokens, "
        f"sum(charged_nano_usd) AS charged FROM {USAGE_BY_HOUR.view} WHERE hour >= %s "
        "GROUP BY 1 ORDER BY 4 DESC, 2 DESC, 1 LIMIT %s) t "
        "LEFT JOIN user_secret u ON u.account_id = t.account_id::uuid "
        "ORDER BY t.charged DESC, t.requests DESC, t.account_id",
        [since, limit],
    )
    return [(user, account, Used(*figures)) for user, account, *figures in rows]
