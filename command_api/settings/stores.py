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


REPLY_BYTES_MAX = 2 * 2**20
"""Largest maximum of a reply that is kept: with it a spooled outcome is still one that is read."""


class KeptReplySettings(Group):
    """Replies that answer again without a new call."""

    idempotency_body_bytes_max: int = Field(
        2**20,
        ge=0,
        le=REPLY_BYTES_MAX,
        alias="GATEWAYZ_IDEMPOTENCY_BODY_BYTES_MAX",
        description="Largest reply kept for an idempotency key, bytes.",
    )
    idempotency_body_hours: int = Field(
        24,
        ge=1,
        alias="GATEWAYZ_IDEMPOTENCY_BODY_HOURS",
        description="How long a reply is kept for its idempotency key, hours.",
    )
    idempotency_key_days: int = Field(
        30,
        ge=1,
        le=36_500,
        alias="GATEWAYZ_IDEMPOTENCY_KEY_DAYS",
        description="How long an idempotency key is known, days: after it, the key is a new one.",
    )
    response_days: int = Field(
        30,
        ge=0,
        le=3_650,
        alias="GATEWAYZ_RESPONSE_DAYS",
        description="How long a response is stored for its owner, days; 0 stores none.",
    )
    response_bytes_max: int = Field(
        8 * 2**20,
        ge=0,
        alias="GATEWAYZ_RESPONSE_BYTES_MAX",
        description="Largest response that is stored, its own input with it, bytes.",
    )
    response_cache_s: float = Field(
        0.0,
        ge=0,
        alias="GATEWAYZ_RESPONSE_CACHE_S",
        description="How long an answer answers the same request again, for all calls, seconds; 0: "
        "only for calls that ask for it.",
    )
    response_cache_bytes_max: int = Field(
        2**20,
        ge=0,
        alias="GATEWAYZ_RESPONSE_CACHE_BYTES_MAX",
        description="Largest reply that is cached, bytes.",
    )
    response_cache_ttl_max_s: int = Field(
        86_400,
        ge=0,
        le=31_536_000,
        alias="GATEWAYZ_RESPONSE_CACHE_TTL_MAX_S",
        description="Longest that a call may ask its answer to be kept, seconds; 0: none may ask.",
    )
    response_cache_price_percent: int = Field(
        0,
        ge=0,
        le=100,
        alias="GATEWAYZ_RESPONSE_CACHE_PRICE_PERCENT",
        description="What a cached answer costs, percent of the price it was made for.",
    )
    response_cache_waiters_max: int = Field(
        100,
        ge=0,
        alias="GATEWAYZ_RESPONSE_CACHE_WAITERS_MAX",
        description="Most calls of a process that wait for the answer of an equal one.",
    )
    response_cache_wait_s: float = Field(
        60.0,
        gt=0,
        alias="GATEWAYZ_RESPONSE_CACHE_WAIT_S",
        description="How long they wait before each makes its own, seconds.",
    )
    response_cache_across_accounts: bool = Field(
        default=False,
        alias="GATEWAYZ_RESPONSE_CACHE_ACROSS_ACCOUNTS",
        description="Whether answers of calls that ask for it (`shared`) are given to other "
        "accounts. What another account was given outlives the erasure of whom it came from, and "
        "a hit tells that somebody asked the same.",
    )
    semantic_cache_model: str = Field(
        "",
        max_length=256,
        alias="GATEWAYZ_SEMANTIC_CACHE_MODEL",
        description="Model of the catalog that makes vectors of texts, `provider/id`; without one "
        "no answer is found by meaning.",
    )
    semantic_cache_dimensions: int = Field(
        0,
        ge=0,
        le=4_096,
        alias="GATEWAYZ_SEMANTIC_CACHE_DIMENSIONS",
        description="`dimensions` that are asked of it; 0: the model's own, up to 4,096.",
    )
    semantic_cache_threshold_percent: int = Field(
        95,
        ge=50,
        le=100,
        alias="GATEWAYZ_SEMANTIC_CACHE_THRESHOLD_PERCENT",
        description="Least similarity of texts, percent, where neither request nor key names one.",
    )
    semantic_cache_entries_max: int = Field(
        200,
        ge=1,
        le=1_000,
        alias="GATEWAYZ_SEMANTIC_CACHE_ENTRIES_MAX",
        description="Most answers of one scope that are kept and compared; the oldest go first.",
    )
    semantic_cache_text_bytes_max: int = Field(
        8_192,
        ge=1,
        le=65_536,
        alias="GATEWAYZ_SEMANTIC_CACHE_TEXT_BYTES_MAX",
        description="Longest text that is compared, bytes.",
    )
    semantic_cache_wait_s: float = Field(
        2.0,
        gt=0,
        le=60,
        alias="GATEWAYZ_SEMANTIC_CACHE_WAIT_S",
        description="Longest wait of a call for the vector of its text, seconds.",
    )
