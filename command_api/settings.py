"""Every setting, with its named limit and default, read once at start into a frozen object."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Read from the environment, each name behind the prefix GATEWAYZ_."""

    model_config = SettingsConfigDict(env_prefix="GATEWAYZ_", frozen=True, extra="ignore")

    home: Path = Field(Path(".gatewayz"), description="Folder of all data of this installation.")
    database_url: str | None = Field(
        None, description="PostgreSQL 15+ to use instead of the embedded server."
    )
    migrations_database_url: str | None = Field(
        None, description="Login for migrations, when it is not that of the application."
    )
    providers_file: Path | None = Field(
        None, description="TOML file of providers, models and prices."
    )
    secret_key: str | None = Field(
        None, description="Secret behind key hashes and data keys; else made in the home."
    )
    redis_url: str | None = Field(
        None, description="Redis for counters and caches; without it PostgreSQL keeps them."
    )
    projection_host: Literal["follower", "workers"] = Field(
        "follower", description="Who advances new projections: the gateway, or `gatewayz worker`."
    )
    kafka_bootstrap: str = Field("127.0.0.1:9092", description="Kafka brokers, `host:port,…`.")
    kafka_topic: str = Field("gatewayz.events.v1", description="Topic of all events.")
    kafka_partitions: int = Field(
        8, ge=1, le=1024, description="Partitions of the topic; workers share them."
    )
    relay_batch_events_max: int = Field(
        5_000, ge=1, le=50_000, description="Most events that the relay has under way."
    )
    relay_heartbeat_s: float = Field(
        0.25, gt=0, description="Least time between heartbeats to idle partitions, seconds."
    )
    relay_port: int = Field(
        8010, ge=0, le=65535, description="Port of the relay's health and metrics."
    )
    worker_port: int = Field(
        6066, ge=1, le=65535, description="Port of a worker's health and metrics."
    )
    worker_batch_events_max: int = Field(
        5_000, ge=1, le=50_000, description="Most events that a worker applies at once."
    )
    secret_file: Path | None = Field(
        None, description="File of that secret, for gateways that share it; made when absent."
    )
    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Serving processes.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning", description="Least severe log line that is written."
    )

    body_bytes_max: int = Field(8 * 2**20, ge=1024, description="Largest request body, bytes.")
    body_timeout_s: float = Field(30.0, gt=0, description="Time to send a request body, seconds.")
    messages_max: int = Field(4_096, ge=1, description="Most messages in a request.")
    choices_max: int = Field(128, ge=1, description="Largest `n`.")
    images_max: int = Field(10, ge=1, description="Largest `n` of images.")
    embedding_inputs_max: int = Field(
        2_048, ge=1, description="Most inputs of one embeddings request."
    )
    embedding_dimensions_max: int = Field(
        16_384, ge=1, description="Largest `dimensions` of embeddings."
    )
    hold_default_output_tokens: int = Field(
        4_096, ge=1, description="Output tokens held when the caller gives no maximum."
    )
    strict_holds: bool = Field(
        default=False, description="Send the held output bound upstream when the caller gave none."
    )
    on_disconnect: Literal["cancel", "drain"] = Field(
        "cancel", description="What a hang-up does to a stream: cancel it, or let it run out."
    )

    upstream_connect_s: float = Field(5.0, gt=0, description="Time to connect upstream, seconds.")
    upstream_silence_s: float = Field(
        120.0, gt=0, description="Longest silence of an upstream, seconds."
    )
    call_deadline_s: float = Field(600.0, gt=0, description="Longest life of a call, seconds.")
    upstream_reply_bytes_max: int = Field(
        64 * 2**20, ge=1024, description="Largest reply of an upstream, bytes."
    )
    attempts_max: int = Field(
        4, ge=1, le=16, description="Most offers that are tried for one call."
    )
    first_output_s: float = Field(
        30.0, gt=0, description="Longest silence of a stream while another offer waits, seconds."
    )
    breaker_failures: int = Field(
        5, ge=1, description="Consecutive failures that open an offer's circuit breaker."
    )
    breaker_open_s: float = Field(
        60.0,
        gt=0,
        description="How long a breaker stays open before it lets a probe pass, seconds.",
    )
    breaker_successes: int = Field(
        3, ge=1, description="Consecutive successes that close a breaker."
    )
    hold_grace_s: int = Field(
        600, ge=1, description="Life of a hold past its call's deadline, seconds."
    )
    lease_s: float = Field(30.0, gt=0, description="Life of a process's lease, seconds.")
    heartbeat_s: float = Field(5.0, gt=0, description="Time between lease renewals, seconds.")
    sweep_interval_s: float = Field(10.0, gt=0, description="Time between sweeps, seconds.")
    append_timeout_s: float = Field(
        2.0, gt=0, description="Longest wait of an append for a lost database, seconds."
    )
    idempotency_body_bytes_max: int = Field(
        2**20, ge=0, description="Largest reply kept for an idempotency key, bytes."
    )
    idempotency_body_hours: int = Field(
        24, ge=1, description="How long a reply is kept for its idempotency key, hours."
    )
    key_cache_s: float = Field(
        60.0, ge=0, description="How long a key's state is trusted without the log, seconds."
    )
    key_cache_max: int = Field(10_000, ge=1, description="Most keys cached in a process.")
    shutdown_grace_s: int = Field(
        10, ge=0, description="Time for calls in flight at shutdown, seconds."
    )
    connections_max: int = Field(4_096, ge=1, description="Most open client connections.")
    page_max: int = Field(1_000, ge=1, description="Most rows on a page.")
    read_wait_s: float = Field(
        2.0, gt=0, description="Longest wait of a read for its own writes, seconds."
    )
    read_trail_max_s: float = Field(
        120.0,
        ge=0,
        description="How far read models that no reader waits for may trail while calls need "
        "every core, seconds; 0 is never.",
    )
    cache_entries_max: int = Field(
        10_000, ge=1, description="Most values cached in a process where there is no Redis."
    )
    response_cache_s: float = Field(
        0.0, ge=0, description="How long a JSON reply answers the same request again; 0 is off."
    )
    response_cache_bytes_max: int = Field(
        2**20, ge=0, description="Largest reply that is cached, bytes."
    )
    ranking_cache_s: float = Field(
        60.0, ge=0, description="How long a ranking is shown before it is computed anew, seconds."
    )
    ranking_days_max: int = Field(90, ge=1, le=365, description="Longest window of a ranking.")
    model_list_interval_s: float = Field(
        3_600.0, gt=0, description="Time between fetches of a provider's model list, seconds."
    )
    model_list_stale_s: float = Field(
        86_400.0, gt=0, description="Age at which a model list is no longer trusted, seconds."
    )

    @property
    def hold_ttl_s(self) -> int:
        """Life of a hold: the call's deadline and the grace (money rule 11), seconds."""
        return int(self.call_deadline_s) + self.hold_grace_s
