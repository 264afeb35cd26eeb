"""The parts of one serving process, put together and taken apart in order."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from command_api.background.following import Background
from command_api.background.runs import Runs
from command_api.calls.cashier import Cashier
from command_api.calls.judged.asking import Moderations
from command_api.calls.losses import SHARE_INTERVAL_S, HouseLosses
from command_api.calls.parts import CallParts
from command_api.catalog.log import CatalogLog
from command_api.composition import committer_of, key_ring_of, registry_of
from command_api.guardrails.running import guardrails_of
from command_api.identity.pseudonyms import Pseudonyms
from command_api.identity.secret import still_in_force
from command_api.kept_replies.across.entries import SharedAnswers
from command_api.kept_replies.background import BackgroundRows
from command_api.kept_replies.idempotency import Idempotency
from command_api.kept_replies.lookups import Lookups
from command_api.kept_replies.response_cache import ResponseCache
from command_api.kept_replies.responses import KeptResponses
from command_api.kept_replies.semantic.meant import SemanticCache
from command_api.kept_replies.shared_flights import SharedFlights
from command_api.limit_counters.rebuild import Rebuilder
from command_api.limit_counters.shared import SharedCounters
from command_api.limits.book import LimitBook
from command_api.limits.commands import limited_windows
from command_api.limits.gate import LEASE_MS, RateGate
from command_api.limits.refusals import Refusals
from command_api.quotas.refusals import DatabaseFigures, QuotaRefusals
from command_api.realtime.route import RealtimeRoute
from command_api.routing.closed import MaintenanceBook
from command_api.routing.router import Router
from command_api.shedding.queue import CallQueue
from command_api.system.machinery import Machinery
from command_api.text_vectors.route import TextVectors
from command_api.uploads.spool import UploadRoom
from edge.clients import Proxies
from edge.lanes import Lane
from event_store.append.leases import Lease, home_identity
from event_store.append.spool import Spool
from event_store.append.sweeper import OwnHolds
from event_store.errors import LedgerUnavailableError
from event_store.ids import new_uuid7
from projections.catalog.provider_health import read_provider_health
from projections.engine.projection import select_on
from providers.inference.lists.model_list import ListLogUnavailableError, ModelLists
from providers.redis.cache import make_cache
from providers.redis.leases import RedisLeases

if TYPE_CHECKING:
    from command_api.identity.vault import Vault
    from command_api.settings import Settings
    from event_store.postgres.database import Database
    from providers.inference.lists.modelz import Modelz

logger = logging.getLogger("gatewayz")

DRAIN_INTERVAL_S = 1.0
REFILL_INTERVAL_S = 30.0
"""Time between looks whether the spool's reserve is whole."""
HEALTH_INTERVAL_S = 30.0
HEALTH_STATEMENT_S = 10.0
HEALTH_WINDOW = timedelta(minutes=10)
"""What the log says of attempts in this time counts for offers not yet tried here."""


class Gateway:
    """Everything that a request meets on its way."""

    def __init__(self, settings: Settings, database: Database, vault: Vault) -> None:
        """Put the parts together; nothing is connected yet. Raises ProvidersFileError and
        GuardrailsFileError.
        """
        self.settings, self.database, self.owner_id = settings, database, new_uuid7()
        self.orphaned = False
        """Its supervisor is dead: what it still serves is not the next server's."""
        self._vault = vault
        registry = self.registry = registry_of(settings)
        self.router = Router(registry, settings.routing, settings.provider_keys.fee_percent)
        self._maintenance = MaintenanceBook(database, self.router.closed)
        self.committer = committer_of(settings, database, self.owner_id)
        self.spool = Spool(settings.installation.home, self.owner_id)
        self._losses = HouseLosses(settings.holds.house_loss_day_max_nano_usd)
        self._figures = DatabaseFigures(database)
        refusals = QuotaRefusals(self._figures)
        self.cashier = Cashier(self.committer, self.spool, self._losses, refusals)
        self.keys = key_ring_of(settings, database, vault)
        shared = settings.redis
        self.cache = make_cache(shared.url, shared.cache_entries_max, shared.cache_bytes_max)
        self._flights = SharedFlights(RedisLeases(shared.url)) if shared.url else None
        self.limits = self._limits_of(settings, database)
        lookups, kept = Lookups(database), settings.kept_replies
        semantic = self.semantic = SemanticCache(lookups, vault, kept)
        across, flights = SharedAnswers(lookups, vault, kept), self._flights
        self.calls = CallParts(
            settings=settings,
            keys=self.keys,
            registry=registry,
            router=self.router,
            cashier=self.cashier,
            idempotency=Idempotency(lookups, vault, body_bytes_max=kept.idempotency_body_bytes_max),
            responses=ResponseCache(self.cache, lookups, vault, kept, flights, (semantic, across)),
            kept_responses=_kept_responses(settings, lookups, vault),
            pseudonyms=Pseudonyms(vault, database),
            proxies=Proxies(settings.server.proxies),
            limits=self.limits,
            queue=CallQueue(settings.queue),
            uploads=UploadRoom(settings.requests.uploads_bytes_max),
            guardrails=guardrails_of(settings),
            semantic=semantic,
            across=across,
        )
        self._vectors = TextVectors(self.calls)
        self._close_circles()
        self.router.rooms.late = self.calls.queue.late
        self.runs, self.background = self._background_of(lookups)
        self.realtime = RealtimeRoute(self.calls)
        self.catalog_log = CatalogLog(
            database, confirm_s=settings.catalog.model_list_interval_s / 2
        )
        self.model_lists = ModelLists(
            registry,
            self.cache,
            interval_s=settings.catalog.model_list_interval_s,
            stale_s=settings.catalog.model_list_stale_s,
            log=self.catalog_log,
        )
        self._lease = Lease(
            database,
            self.owner_id,
            home=home_identity(settings.installation.home),
            life_s=settings.leases.life_s,
            heartbeat_s=settings.leases.heartbeat_s,
        )
        self._own_holds = OwnHolds(database, self.committer, self.spool, self.owner_id)
        self._drain: asyncio.Task[None] | None = None
        self._reconciling: asyncio.Task[None] | None = None
        self._catalog: asyncio.Task[None] | None = None
        self._sharing: asyncio.Task[None] | None = None

    def _close_circles(self) -> None:
        """What makes calls of its own for a call is given the way to make them."""
        self.semantic.vector_of = self._vectors.vector_of
        if self.calls.guardrails is not None:
            self.calls.guardrails.judge = Moderations(self.calls)

    def _background_of(self, lookups: Lookups) -> tuple[Runs, Background]:
        kept = self.settings.kept_replies
        days, bytes_max = kept.response_days, kept.response_bytes_max
        rows = BackgroundRows(lookups, self._vault, self.owner_id, days=days, bytes_max=bytes_max)
        runs = Runs(self.calls, rows)
        return runs, Background(self.calls.kept_responses, runs)

    def _limits_of(self, settings: Settings, database: Database) -> RateGate:
        url, limits = settings.redis.url, settings.limits
        lane = Lane("limits", threads=1, waiting_max=2)
        shared = SharedCounters(url, timeout_s=limits.redis_timeout_s) if url else None
        return RateGate(
            LimitBook(database, lease_ms=LEASE_MS),
            shared,
            Refusals(database, lane, interval_s=limits.refusals_interval_s),
            owner=str(self.owner_id),
            rebuilder=Rebuilder(database, shared, lane, limited_windows) if shared else None,
        )

    async def start(self) -> None:
        """Take the lease, connect, and begin to serve. Raises SecretError, psycopg.Error."""
        await self._lease.start()
        # A rotation is refused beside our lease; here we see one that was faster.
        await asyncio.to_thread(still_in_force, self.database, self._vault)
        await self.committer.start()
        if self.calls.guardrails is not None:
            await asyncio.to_thread(self.calls.guardrails.tell_unknown, self.database)
        await self._share_losses()
        self.keys.start()
        await self.limits.start()
        self.calls.queue.start()
        await self._maintenance.start()
        self._catalog = asyncio.get_running_loop().create_task(self._keep_catalog())
        await asyncio.to_thread(self.spool.reserve.fill, self.settings.spool.reserve_files)
        self._drain = asyncio.get_running_loop().create_task(self._drain_spool())
        self._reconciling = asyncio.get_running_loop().create_task(self._reconcile())
        self._sharing = asyncio.get_running_loop().create_task(self._keep_sharing())

    async def stop(self) -> None:
        """Stop in the reverse order; what could not be appended stays spooled."""
        await self.runs.stop()
        await self._vectors.stop()
        for task in (self._sharing, self._reconciling, self._drain, self._catalog):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        with suppress(Exception):
            await self.spool.drain(self.committer, self.owner_id)
        self.spool.keep_remembered()
        if self._losses.unshared:
            await self._share_losses()
        await self.calls.queue.stop()
        await self.model_lists.stop()
        await asyncio.to_thread(self.catalog_log.close)
        await self.keys.stop()
        await self.limits.stop()
        await self._maintenance.stop()
        await self.calls.idempotency.close()
        await self._figures.close()
        await self.committer.stop()
        await self._lease.stop()
        await self.registry.close()
        if self._flights is not None:
            await self._flights.close()
        await self.cache.close()

    @property
    def healthy(self) -> bool:
        """Whether a call could be held now."""
        return self.committer.ready and self._lease.lives and not self.orphaned

    async def _keep_catalog(self) -> None:
        """Start from the log's catalog and health, tell it the operator's prices, then fetch."""
        try:
            await self.model_lists.restore()
        except ListLogUnavailableError as error:
            logger.warning("%s", error)
        except Exception:
            logger.exception("the catalog could not be restored")
        self.model_lists.start()
        while True:
            await self._learn_health()
            await asyncio.sleep(HEALTH_INTERVAL_S)

    async def _learn_health(self) -> None:
        """How offers have been doing that this process has not tried itself."""
        try:
            for each in await asyncio.to_thread(self._recent_health):
                self.router.seed(each)
        except psycopg.Error as error:
            logger.info("the health of providers could not be read: %s", error)

    def _recent_health(self) -> list[dict[str, Any]]:
        since = datetime.now(UTC) - HEALTH_WINDOW
        with self.database.connect(statement_s=HEALTH_STATEMENT_S) as connection:
            return read_provider_health(select_on(connection), since=since)

    def machinery(self, modelz: Modelz) -> Machinery:
        """What operators see of this process, and may renew."""
        return Machinery(
            self.registry,
            self.router,
            self.model_lists,
            self.cache,
            self.calls.responses,
            modelz,
            self.calls.queue,
        )

    async def _drain_spool(self) -> None:
        """Append what this process spooled, once the ledger is back, and keep the reserve whole."""
        loop = asyncio.get_running_loop()
        refilled = loop.time()
        while True:
            await asyncio.sleep(DRAIN_INTERVAL_S)
            try:
                if self.spool.waiting:
                    await self._drain_once()
                elif loop.time() - refilled > REFILL_INTERVAL_S:
                    files = self.settings.spool.reserve_files
                    await asyncio.to_thread(self.spool.reserve.fill, files)
                    refilled = loop.time()
            except Exception:
                logger.exception("the spool could not be drained; it is tried again")

    async def _drain_once(self) -> None:
        if self.committer.connected:
            await self.spool.drain(self.committer, self.owner_id)
        else:
            await asyncio.to_thread(self.spool.keep_remembered)

    async def _reconcile(self) -> None:
        """Look now and then for holds of our own that no call of ours will resolve any more."""
        while True:
            await asyncio.sleep(self.settings.leases.sweep_interval_s)
            try:
                await self._own_holds.reconcile(self.cashier.live(self.settings.hold_ttl_s))
            except (psycopg.Error, LedgerUnavailableError) as error:
                logger.warning("our own holds cannot be looked at: %s", str(error).strip())
            except Exception:
                logger.exception("our own holds could not be reconciled; it is tried again")

    async def _keep_sharing(self) -> None:
        """Tell the other processes of house losses, and learn of theirs."""
        while True:
            await asyncio.sleep(SHARE_INTERVAL_S)
            await self._share_losses()

    async def _share_losses(self) -> None:
        """Without the database, and after a defect, this process goes on with its own."""
        try:
            await self._losses.share(self.database)
        except psycopg.Error as error:
            logger.info("house losses could not be shared: %s", str(error).strip())
        except Exception:
            logger.exception("house losses could not be shared; it is tried again")


def _kept_responses(settings: Settings, lookups: Lookups, vault: Vault) -> KeptResponses:
    kept = settings.kept_replies
    return KeptResponses(lookups, vault, days=kept.response_days, bytes_max=kept.response_bytes_max)
