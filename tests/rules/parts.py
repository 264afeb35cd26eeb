"""The parts of the book's reference that are made from the code."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields
from pathlib import Path
from uuid import UUID

import psycopg

from command_api.batches.running.parts import Counts
from command_api.calls.attempt_log import FailedAttempts
from command_api.guardrails.metrics import GuardCounts
from command_api.kept_replies.across.entries import SharedAnswers
from command_api.kept_replies.metrics import CacheMetrics
from command_api.kept_replies.response_cache import ResponseCache
from command_api.kept_replies.semantic.meant import SemanticCache
from command_api.limits.metrics import LimitMetrics
from command_api.mails.metrics import MailMetrics
from command_api.managers.metrics import ManagerMetrics
from command_api.mcp.metrics import ToolCounts
from command_api.payments.metrics import InboxMetrics
from command_api.processes.relay import RelayMetrics
from command_api.realtime.metrics import RealtimeMetrics
from command_api.routing.room_metrics import RoomMetrics
from command_api.routing.rooms import Rooms
from command_api.serving.metrics import LedgerMetrics, RunMetrics
from command_api.settings.all import GROUPS
from command_api.settings.calls import (
    QueueSettings,
)
from command_api.settings.stores import KeptReplySettings
from command_api.shedding.metrics import QueueMetrics
from command_api.shedding.queue import CallQueue
from command_api.system.pool_metrics import PoolMetrics
from domain.books.chart import CHART
from domain.books.entries import EVENTS
from domain.events.all import EVENT_CLASSES
from domain.overload.upstream import Concurrency
from event_store.append.spool import Spool
from event_store.relay.relay import RelayStatus
from projections.all import PROJECTIONS
from providers.inference.adapters.http1.pool import ConnectionRoom
from providers.redis.cache import MemoryCache
from stream_processors.app import WorkerMetrics
from stream_processors.host import ProjectionHost


def settings_tables() -> str:
    """The reference of settings by their groups."""
    parts = []
    for name, group in GROUPS.items():
        rows = ["| Variable | Default | What |", "|---|---|---|"]
        for field in group.model_fields.values():
            default = "–" if field.default is None else f"`{field.default}`"
            rows.append(f"| `{field.alias}` | {default} | {field.description} |")
        title = name.replace("_", " ").capitalize()
        parts.append(f"## {title}\n\n{group.__doc__}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def events_table() -> str:
    """The reference of events."""
    parts = []
    for cls in EVENT_CLASSES:
        own = [item.name for item in fields(cls)]
        envelope = {"originator_id", "originator_version", "id", "effective_at"}
        envelope |= {"actor", "correlation_id", "causation_id"}
        names = ", ".join(f"`{name}`" for name in own if name not in envelope)
        said = " ".join((cls.__doc__ or "").split())
        schema = f"[schema](events/{cls.TOPIC}.schema.json)"
        parts.append(
            f"### `{cls.TOPIC}`\n\nStream `{cls.CATEGORY}-<uuid>`. {said}\n\n"
            f"Members: {names} ({schema})."
        )
    return "\n\n".join(parts)


def read_models_text() -> str:
    """The reference of read models."""
    parts = []
    for projection in PROJECTIONS:
        kept = " Kept in Redis where there is one." if projection.in_redis else ""
        parts.append(f"## `{projection.name}`\n\n{projection.about}{kept}")
        for table in projection.tables:
            rows = ["| Column | Type | Merges by | What |", "|---|---|---|---|"]
            for each in table.columns:
                by = f"latest {each.by}" if each.merge == "latest" else each.merge
                rows.append(f"| `{each.name}` | {each.sql} | {by} | {each.about} |")
            age = f" Rows are kept for {table.keep_days} days." if table.keep_days else ""
            parts.append(f"### `{table.view}`\n\n{table.about}{age}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def metrics_table() -> str:
    """The reference of metrics."""
    rows = ["| Metric | Type | Labels | What |", "|---|---|---|---|"]
    host = ProjectionHost(psycopg.connect, {}, 1)
    host.lag = dict  # type: ignore[method-assign]
    ledger = LedgerMetrics(Spool(Path("none"), UUID(int=0)), lambda: True, lambda: 0)
    limits = LimitMetrics(Counter(), lambda: True, lambda: 0)
    queue = QueueMetrics(CallQueue(QueueSettings()))
    mails = MailMetrics(Counter(), lambda: 0)
    others = (InboxMetrics(lambda: (0, 0, 0.0)), RelayMetrics(RelayStatus()), WorkerMetrics(host))
    managers = ManagerMetrics(list)
    runs = RunMetrics(lambda: 0)
    kept = KeptReplySettings()
    meant = SemanticCache(None, None, kept)  # type: ignore[arg-type]
    meant.results["hit"] = 1
    across = SharedAnswers(None, None, kept)  # type: ignore[arg-type]
    across.results["hit"] = 1
    cache = CacheMetrics(ResponseCache(MemoryCache(1), None, None, kept), meant, across)  # type: ignore[arg-type]
    nowhere = Rooms(lambda _: Concurrency(), wait_s=0, waiting_max=0)
    providers = (RoomMetrics(nowhere), PoolMetrics(ConnectionRoom()))
    kinds = (
        ledger,
        limits,
        queue,
        RealtimeMetrics(lambda: 0, Counter()),
        cache,
        *providers,
        GuardCounts(),
        FailedAttempts(),
        ToolCounts(),
        runs,
        Counts(),
        mails,
        managers,
        *others,
    )
    for collector in kinds:
        for metric in collector.collect():
            name = metric.name + ("_total" if metric.type == "counter" else "")
            labels = ", ".join(getattr(metric, "_labelnames", ()))
            rows.append(f"| `{name}` | {metric.type} | {labels} | {metric.documentation} |")
    return "\n".join(rows)


def chart_table() -> str:
    """The chart of accounts."""
    rows = ["| Class | Type | Grows by | Report | What |", "|---|---|---|---|---|"]
    for line in CHART:
        whose = " One for each customer." if line.customers else ""
        rows.append(
            f"| `{line.pattern}` | {line.type} | {line.side} | {line.report} | "
            f"{line.meaning[0].upper()}{line.meaning[1:]}.{whose} |"
        )
    return "\n".join(rows)


def entries_table() -> str:
    """What each event posts."""
    rows = ["| Event | Debit | Credit | For what |", "|---|---|---|---|"]
    for cls, entries in EVENTS.items():
        topics = [each.TOPIC for each in EVENT_CLASSES if issubclass(each, cls)]
        names = ", ".join(f"`{topic}`" for topic in topics)
        rows += [
            f"| {names} | `{debit}` | `{credit}` | {said} |" for debit, credit, said in entries
        ]
    return "\n".join(rows)
