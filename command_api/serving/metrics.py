"""`/metrics` of a serving process, in Prometheus's text format.

One registry on `app.state.metrics`; whoever has something to tell registers a collector there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from command_api.calls.attempt_log import FAILED
from command_api.guardrails.metrics import GuardCounts
from command_api.kept_replies.metrics import CacheMetrics
from command_api.system.pool_metrics import PoolMetrics
from edge.access import OPEN
from event_store.append.outcome_files import quarantined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.core import Metric

    from command_api.serving.gateway import Gateway
    from command_api.serving.slices import Slices
    from event_store.append.spool import Spool

SCRAPE_KEPT_S = 1.0
"""Metrics are made at most so often, seconds: anybody may ask for them."""
CONTENT_TYPE = "text/plain; version=0.0.4"
metrics = APIRouter(dependencies=[OPEN])


class LedgerMetrics:
    """The ledger as this process reaches it, what waits for it in the home's spool, and what
    could not be kept beside it.
    """

    def __init__(
        self, spool: Spool, ready: Callable[[], bool], not_kept: Callable[[], int]
    ) -> None:
        """All are asked at each scrape."""
        self._spool, self._ready, self._not_kept = spool, ready, not_kept

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        spool = self._spool
        waiting = sum(len(spool.files(owner)) for owner in spool.owners())
        for name, about, value in (
            ("ledger_reachable", "1 while a call could be held.", int(self._ready())),
            ("spool_files", "Outcomes that wait on the home's disk.", waiting),
            (
                "spool_remembered",
                "Outcomes of this process that no disk would take.",
                spool.remembered,
            ),
            (
                "spool_quarantined",
                "Files of the home's spool that were put aside.",
                len(quarantined(spool.root.parent)),
            ),
            (
                "spool_reserve_files",
                "Outcomes that a full disk of the home could still keep.",
                len(spool.reserve.spare()),
            ),
        ):
            yield GaugeMetricFamily(f"gatewayz_{name}", about, value)
        about = "Replies of this process that a repeated idempotency key will not get."
        yield CounterMetricFamily("gatewayz_replies_not_kept", about, self._not_kept())


class RunMetrics:
    """What this process runs in the background."""

    def __init__(self, running: Callable[[], int]) -> None:
        """It is asked at each scrape."""
        self._running = running

    def collect(self) -> Iterator[Metric]:
        """The metric of this moment."""
        about = "Responses that run in the background in this process."
        yield GaugeMetricFamily("gatewayz_background_responses", about, self._running())


def metrics_of(gateway: Gateway, slices: Slices) -> CollectorRegistry:
    """What the parts of a serving process tell."""
    found = registry_with(
        LedgerMetrics(
            gateway.spool,
            lambda: gateway.healthy,
            lambda: gateway.calls.idempotency.replies_not_kept,
        )
    )
    found.register(gateway.limits.metrics())
    found.register(gateway.calls.queue.metrics())
    found.register(gateway.realtime.metrics())
    found.register(gateway.router.rooms.metrics())
    found.register(PoolMetrics(gateway.registry.room))
    found.register(slices.mail_metrics)
    found.register(CacheMetrics(gateway.calls.responses, gateway.semantic, gateway.calls.across))
    guards = gateway.calls.guardrails
    found.register(GuardCounts() if guards is None else guards.counts)
    found.register(FAILED)
    found.register(RunMetrics(lambda: gateway.runs.running))
    found.register(slices.batches.counts)
    found.register(slices.mcp.counts)
    return found


def registry_with(collector: LedgerMetrics) -> CollectorRegistry:
    """The registry of a process."""
    registry = CollectorRegistry()
    registry.register(collector)
    return registry


@metrics.get("/metrics")
async def scrape(request: Request) -> Response:
    """The metrics of the serving process that answers, a second old at most.

    They are made in a thread, for they look at the disk, and once for all who ask.
    """
    state = request.app.state
    text = await state.scrapes.get(
        "metrics", lambda: run_in_threadpool(generate_latest, state.metrics)
    )
    return Response(text, media_type=CONTENT_TYPE)
