"""What a serving process tells Prometheus of its response cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.core import Metric

    from command_api.kept_replies.across.entries import SharedAnswers
    from command_api.kept_replies.response_cache import ResponseCache
    from command_api.kept_replies.semantic.meant import SemanticCache


class CacheMetrics:
    """Opted-in calls by what became of them, and answers kept."""

    def __init__(
        self, cache: ResponseCache, semantic: SemanticCache, across: SharedAnswers | None = None
    ) -> None:
        """They are asked at each scrape."""
        self._cache, self._semantic, self._across = cache, semantic, across

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        cache = self._cache
        about = "Calls that asked for a cached answer, by what they got."
        calls = CounterMetricFamily("gatewayz_cached_calls", about, labels=["result"])
        for result, count in (
            ("hit", cache.hits - cache.coalesced),
            ("coalesced", cache.coalesced),
            ("miss", cache.misses),
            ("bypass", cache.bypassed),
        ):
            calls.add_metric([result], count)
        yield calls
        about = "Answers that this process kept in the response cache."
        yield CounterMetricFamily("gatewayz_cached_answers", about, cache.kept)
        about = "Cached answers that could not be opened."
        yield CounterMetricFamily("gatewayz_cached_answers_damaged", about, cache.damaged)
        semantic = self._semantic
        about = "Calls that asked for an answer to nearly the same text, by what came of it."
        lookups = CounterMetricFamily("gatewayz_semantic_lookups", about, labels=["result"])
        for result, count in [*semantic.results.items()]:
            lookups.add_metric([result], count)
        yield lookups
        about = "Seconds that they took, with the calls for their vectors."
        yield CounterMetricFamily("gatewayz_semantic_lookup_seconds", about, semantic.seconds)
        about = "Answers that this process kept by the vectors of their texts."
        yield CounterMetricFamily("gatewayz_semantic_answers", about, semantic.kept)
        about = "Answers kept by vectors that could not be opened."
        damaged = semantic.entries.damaged
        yield CounterMetricFamily("gatewayz_semantic_answers_damaged", about, damaged)
        yield from self._shared()
        about = "Calls under way that equal calls may wait for."
        yield GaugeMetricFamily("gatewayz_cached_calls_waited_for", about, len(cache.flights))

    def _shared(self) -> Iterator[Metric]:
        across = self._across
        if across is None:
            return
        about = "Calls that asked for answers of other accounts, by what came of it."
        lookups = CounterMetricFamily("gatewayz_shared_lookups", about, labels=["result"])
        for result, count in [*across.results.items()]:
            lookups.add_metric([result], count)
        yield lookups
        about = "Answers that this process gave to other accounts' calls to come."
        yield CounterMetricFamily("gatewayz_shared_answers", about, across.kept)
        about = "Answers given so that could not be opened."
        yield CounterMetricFamily("gatewayz_shared_answers_damaged", about, across.damaged)
