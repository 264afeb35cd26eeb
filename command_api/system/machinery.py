"""Lists of models, circuits, kept replies and connections of this process, and what renews them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from command_api.routing.router import now_ms
from domain.routing.health import BreakerState
from edge.errors import bad_request
from edge.lanes import Flights
from providers.inference.adapters.http1.pool import Closed
from providers.inference.lists.model_list import has_list, iso_of
from providers.inference.registry.built_in import OTHER_NAMES
from providers.inference.registry.trouble import TroubleKind

if TYPE_CHECKING:
    from command_api.kept_replies.response_cache import ResponseCache
    from command_api.routing.router import Router
    from command_api.shedding.queue import CallQueue
    from providers.inference.lists.model_list import ModelLists
    from providers.inference.lists.modelz import Modelz
    from providers.inference.registry.offers import Provider
    from providers.inference.registry.registry import Registry
    from providers.redis.cache import Cache

HEALTHY, DEGRADED, TIMEOUT, ERROR, UNCONFIGURED = (
    *("healthy", "degraded", "timeout", "error"),
    "unconfigured",
)
LISTS = "models:"
"""How the names of all lists begin in the shared cache."""


class Machinery:
    """One for each process."""

    def __init__(
        self,
        registry: Registry,
        router: Router,
        lists: ModelLists,
        cache: Cache,
        responses: ResponseCache,
        modelz: Modelz,
        queue: CallQueue,
    ) -> None:
        """All of them are the process's own."""
        self.queue = queue
        self.registry, self.router, self.lists, self.modelz = registry, router, lists, modelz
        self.cache, self.responses = cache, responses
        self._flights = Flights()

    def named(self, name: str) -> Provider:
        """The provider of a name; raises ApiError 400 for one that is not configured here."""
        found = self.registry.providers.get(OTHER_NAMES.get(name, name))
        if found is None:
            message = f"There is no gateway {name[:64]!r} here: GET /health/gateways lists them."
            raise bad_request("unknown_gateway", message, "gateway")
        return found

    async def refresh(self, provider: Provider, *, force: bool) -> bool:
        """Have a provider's list anew; whether it could be had.

        Whoever asks meanwhile gets the same answer. Raises ApiError 400 for one without a list.
        """
        if not has_list(provider):
            message = f"{provider.name} has no list of models: its models stand in the file."
            raise bad_request("no_model_list", message, "gateway")
        await self._flights.get(
            f"{provider.name} {force}", lambda: self.lists.refresh(provider, force=force)
        )
        return provider.name not in self.lists.failed

    async def refresh_all(self) -> dict[str, bool]:
        """Have all lists anew; by provider whether it could be had."""
        await self._flights.get("all", self.lists.refresh_all)
        return {
            name: name not in self.lists.failed
            for name, each in self.registry.providers.items()
            if has_list(each)
        }

    def list_state(self, provider: Provider) -> dict[str, Any]:
        """How old a provider's list is, and what it holds."""
        fetched_at = self.lists.fetched_at.get(provider.name)
        known = fetched_at is not None
        age_s = int(time.time() - fetched_at) if fetched_at is not None else None
        return {
            "status": "stale" if provider.stale else "healthy" if known else "empty",
            "has_data": bool(provider.listed),
            "models_cached": len(provider.listed),
            "models_unpriced": len(provider.unpriced),
            "models_of_file": len(provider.models),
            "cache_age_seconds": age_s,
            "ttl_seconds": int(self.lists.interval_s),
            "is_stale": provider.stale,
            "last_refresh": None if fetched_at is None else iso_of(fetched_at),
            "last_fetch_failed": provider.name in self.lists.failed,
        }

    def list_states(self) -> dict[str, dict[str, Any]]:
        """The same of all providers with a list."""
        providers = self.registry.providers.values()
        return {each.name: self.list_state(each) for each in providers if has_list(each)}

    def health(self, provider: Provider) -> dict[str, Any]:
        """How a provider has been doing, as far as this process tried it or was told."""
        now = now_ms()
        tried = self.router.tried(provider.name)
        states = [each.state(now) for each in tried]
        latencies = [each.latency_ms for each in tried if each.latency_ms is not None]
        status = _status(provider, states)
        trouble = provider.trouble
        fetched_at = self.lists.fetched_at.get(provider.name)
        checked = max(filter(None, (trouble and trouble.at, fetched_at)), default=None)
        return {
            "status": status,
            "latency_ms": sum(latencies) // len(latencies) if latencies else None,
            "available": status in {HEALTHY, DEGRADED},
            "last_check": None if checked is None else iso_of(checked),
            "error": trouble.code if trouble else None,
            "models": len(provider.models.keys() | provider.listed.keys()),
            "circuits": {str(each): states.count(each) for each in BreakerState},
            "calls": self.router.rooms.of(provider.name).told(),
        }

    def all_health(self) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
        """The health of all providers, and what it comes to."""
        data = {name: self.health(each) for name, each in self.registry.providers.items()}
        nothing = {"latency_ms": None, "last_check": None, "error": None}
        for name in self.registry.unconfigured:
            data[name] = {"status": UNCONFIGURED, "available": False, **nothing}
        found = [each["status"] for each in data.values()]
        configured = len(self.registry.providers)
        healthy = found.count(HEALTHY)
        return data, {
            "total_gateways": len(found),
            "healthy": healthy,
            "degraded": found.count(DEGRADED),
            "unhealthy": found.count(ERROR) + found.count(TIMEOUT),
            "unconfigured": found.count(UNCONFIGURED),
            "overall_health_percentage": healthy * 100 // configured if configured else 0,
        }

    def pools(self) -> dict[str, Any]:
        """The connections to providers; all clients are asynchronous."""
        room = self.registry.room
        return {
            "sync_clients": 0,
            "async_clients": len(room.clients),
            "total_clients": len(room.clients),
            "connections_open": sum(len(each.open) for each in room.clients),
            "connections_idle": sum(len(each.idle) for each in room.clients),
            "connections_being_made": room.connecting,
            "connections_max": room.most,
            "providers": self._by_provider(),
        }

    def _by_provider(self) -> dict[str, dict[str, Any]]:
        """Connections and calls of those providers that were called or connected to."""
        found: dict[str, dict[str, Any]] = {}
        for pool in self.registry.room.clients:
            if pool.opened or pool.waited:
                found[pool.limits.name] = {
                    "open": len(pool.open),
                    "idle": pool.idle_now,
                    "in_use": pool.in_use,
                    "waiting": len(pool.waiting),
                    "waited": pool.waited,
                    "refused": pool.refused,
                    "opened": pool.opened,
                    "closed": {str(why): pool.closed[why] for why in Closed},
                    "connections_max": min(pool.limits.connections_max, self.registry.room.most),
                    "idle_max": pool.limits.idle_max,
                }
        for room in self.router.rooms.known:
            found.setdefault(room.name, {})["calls"] = room.told()
        return found

    def kept_replies(self) -> dict[str, Any]:
        """The cache of replies: what this process found in it, and what its memory holds."""
        replies, state = self.responses, self.cache.state()
        asked = replies.hits + replies.misses
        return {
            "enabled": replies.enabled,
            "hits": replies.hits,
            "misses": replies.misses,
            "sets": replies.kept,
            "coalesced": replies.coalesced,
            "bypassed": replies.bypassed,
            "damaged": replies.damaged,
            "calls_waited_for": len(replies.flights),
            "evictions": state.evicted,
            "hit_rate_percent": replies.hits * 100 // asked if asked else 0,
            "memory_cache_size": state.entries,
            "redis_connected": bool(state.redis),
        }

    async def refresh_modelz(self) -> None:
        """Have Modelz's catalog anew; raises ModelzUnavailableError."""
        await self._flights.get("modelz", lambda: self.modelz.models(None, force=True))

    def modelz_state(self) -> dict[str, Any]:
        """What is kept of Modelz's catalog."""
        kept = self.modelz.kept()
        newest = min((age for *_, age in kept), default=None)
        ttl_s = self.modelz.keep_s
        return {
            "status": "empty" if newest is None else "stale" if newest > ttl_s else "healthy",
            "has_data": newest is not None,
            "tokens_cached": sum(count for _, count, _ in kept),
            "cache_age_seconds": None if newest is None else int(newest),
            "ttl_seconds": int(ttl_s),
        }


def _status(provider: Provider, states: list[BreakerState]) -> str:
    if provider.trouble is not None:
        away = provider.trouble.kind is TroubleKind.UNREACHABLE
        return TIMEOUT if away and provider.trouble.code == "timeout" else ERROR
    broken = len(states) - states.count(BreakerState.CLOSED)
    if broken and broken == len(states):
        return ERROR
    return DEGRADED if broken or provider.stale else HEALTHY
