"""What the settings describe, made here and nowhere else: database, secrets, append, providers.

Serving processes, background work and the command line are put together from the same parts.
"""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from command_api.identity.vault import Vault, load_secret
from event_store.append.committer import Committer
from event_store.ids import to_iso
from event_store.postgres.database import Database
from event_store.postgres.embedded import EmbeddedPostgres
from projections.engine.runner import FOLLOWER
from projections.engine.sinks.redis import sinks_of
from projections.hosting.install import migrate_all
from providers.inference.adapters.http_client import ClientLimits
from providers.inference.registry.registry import Registry, load_registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from command_api.settings import Settings


def database_of(settings: Settings) -> Database:
    """The database of the settings, which somebody else keeps running."""
    if settings.database_url:
        return Database.from_url(settings.database_url, settings.migrations_database_url)
    return EmbeddedPostgres(settings.home).database()


def embedded_of(settings: Settings) -> EmbeddedPostgres | None:
    """The home's own server; None where the settings name somebody else's database."""
    if settings.database_url:
        return None
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return EmbeddedPostgres(settings.home)


@contextmanager
def open_database(
    settings: Settings, embedded: EmbeddedPostgres | None = None
) -> Iterator[Database]:
    """The database of the settings: somebody else's, or the home's own while we use it.

    Raises EmbeddedPostgresError where the home's own cannot be started.
    """
    embedded = embedded or embedded_of(settings)
    if embedded is None:
        yield database_of(settings)
    else:
        with embedded.running() as database:
            yield database


def prepare_database(settings: Settings, database: Database, *, move: bool) -> list[str]:
    """Apply what is missing: migrations, and projections that are new or changed.

    With `move`, counters go where these settings want them: into Redis, or out of it.
    """
    return migrate_all(
        database,
        sinks_of(settings.redis_url),
        host=settings.projection_host,
        partitions=1 if settings.projection_host == FOLLOWER else settings.kafka_partitions,
        move=move,
    )


def vault_of(settings: Settings) -> Vault:
    """The secrets of the installation; raises ValueError for one that is too short."""
    return Vault(load_secret(settings.home, settings.secret_key, settings.secret_file))


def committer_of(settings: Settings, database: Database, owner_id: UUID) -> Committer:
    """The append of one process; nothing is connected yet."""
    return Committer(
        database.application,
        owner_id=owner_id,
        hold_ttl_s=settings.hold_ttl_s,
        append_timeout_s=settings.append_timeout_s,
    )


def registry_of(settings: Settings) -> Registry:
    """The providers that settings and environment describe. Raises ProvidersFileError."""
    file = settings.providers_file
    changed = file.stat().st_mtime if file and file.exists() else 0
    return load_registry(
        environment=os.environ,
        providers_file=file,
        effective_at=to_iso(datetime.fromtimestamp(changed, UTC)),
        limits=ClientLimits(
            connect_s=settings.upstream_connect_s,
            silence_s=settings.upstream_silence_s,
            attempt_s=settings.call_deadline_s,
            reply_bytes_max=settings.upstream_reply_bytes_max,
        ),
    )


def configure_logging(settings: Settings) -> None:
    """Plain lines on standard error."""
    logging.basicConfig(
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # The relay says itself, in one line, that the broker is away.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
