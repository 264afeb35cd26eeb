"""Settings of what keeps data: the database, the spool, Redis, Kafka."""

from __future__ import annotations

from pydantic import Field

from command_api.settings.group import Group


class DatabaseSettings(Group):
    """PostgreSQL, which holds the log and what is derived from it."""

    url: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_DATABASE_URL",
        description="PostgreSQL 15+ to use instead of the embedded server.",
    )
    migrations_url: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_MIGRATIONS_DATABASE_URL",
        description="Login for migrations, when it is not that of the application.",
    )
    append_timeout_s: float = Field(
        2.0,
        gt=0,
        alias="GATEWAYZ_APPEND_TIMEOUT_S",
        description="Longest wait of an append for a lost database, seconds.",
    )


class SpoolSettings(Group):
    """Outcomes of calls that wait on disk for the ledger."""

    reserve_files: int = Field(
        1_024,
        ge=0,
        le=99_999,
        alias="GATEWAYZ_SPOOL_RESERVE_FILES",
        description="Outcomes that a full disk can still keep; each takes 4 KiB of it beforehand.",
    )


class RedisSettings(Group):
    """What gateways share beside the database, and what stands in for it."""

    url: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_REDIS_URL",
        description="Redis for counters and caches; without it PostgreSQL keeps them.",
    )
    cache_entries_max: int = Field(
        10_000,
        ge=1,
        alias="GATEWAYZ_CACHE_ENTRIES_MAX",
        description="Most values cached in a process where there is no Redis.",
    )
    cache_bytes_max: int = Field(
        128 * 2**20,
        ge=1,
        alias="GATEWAYZ_CACHE_BYTES_MAX",
        description="Most bytes of them, for each process.",
    )


class LimitSettings(Group):
    """Rate limits: how long Redis may take, how often the log hears of refusals; old quotas."""

    redis_timeout_s: float = Field(
        0.01,
        gt=0,
        le=10,
        alias="GATEWAYZ_LIMITS_REDIS_TIMEOUT_S",
        description="Longest wait for Redis; then this process's own counters decide, seconds.",
    )
    refusals_interval_s: float = Field(
        3_600.0,
        ge=1,
        alias="GATEWAYZ_LIMITS_REFUSALS_INTERVAL_S",
        description="Time that one event counts the refusals of a scope for, seconds.",
    )
    quota_window_days: int = Field(
        90,
        ge=1,
        le=36_500,
        alias="GATEWAYZ_QUOTA_WINDOW_DAYS",
        description="How long what quotas counted is kept once its day or month has ended, days.",
    )


class KafkaSettings(Group):
    """The topic of all events, which relay and workers share."""

    bootstrap: str = Field(
        "127.0.0.1:9092",
        alias="GATEWAYZ_KAFKA_BOOTSTRAP",
        description="Kafka brokers, `host:port,…`.",
    )
    topic: str = Field(
        "gatewayz.events.v1", alias="GATEWAYZ_KAFKA_TOPIC", description="Topic of all events."
    )
    partitions: int = Field(
        8,
        ge=1,
        le=1024,
        alias="GATEWAYZ_KAFKA_PARTITIONS",
        description="Partitions of the topic; workers share them.",
    )
