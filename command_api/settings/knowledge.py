"""Settings of what processes know beside a call: who calls, what is offered, what was read."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from command_api.settings.group import Group
from domain.pricing.money import parse_usd


class IdentitySettings(Group):
    """The secret of the installation, and the keys of callers."""

    secret_key: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_SECRET_KEY",
        description="Secret behind key hashes and data keys; else made in the home.",
    )
    secret_file: Path | None = Field(
        None,
        alias="GATEWAYZ_SECRET_FILE",
        description="File of that secret, for gateways that share it; made when absent.",
    )
    key_cache_s: float = Field(
        60.0,
        ge=0,
        alias="GATEWAYZ_KEY_CACHE_S",
        description="How long a key's state is trusted without the log, seconds.",
    )
    key_cache_max: int = Field(
        10_000, ge=1, alias="GATEWAYZ_KEY_CACHE_MAX", description="Most keys cached in a process."
    )
    wrong_keys_per_s: int = Field(
        20,
        ge=1,
        le=10_000,
        alias="GATEWAYZ_WRONG_KEYS_PER_S",
        description="Most keys that open nothing and are looked up a second for one address of "
        "the network (IPv6: /64), in a process; more get 429.",
    )
    keys_per_user_max: int = Field(
        100,
        ge=1,
        le=10_000,
        alias="GATEWAYZ_KEYS_PER_USER_MAX",
        description="Most API keys of a user, those that were deleted not counted.",
    )


class CatalogSettings(Group):
    """The providers' own lists of models."""

    model_list_interval_s: float = Field(
        3_600.0,
        gt=0,
        alias="GATEWAYZ_MODEL_LIST_INTERVAL_S",
        description="Time between fetches of a provider's model list, seconds.",
    )
    model_list_stale_s: float = Field(
        86_400.0,
        gt=0,
        alias="GATEWAYZ_MODEL_LIST_STALE_S",
        description="Age at which a model list is no longer trusted, seconds.",
    )


class HealthSettings(Group):
    """The monitor, which asks providers for their lists of models."""

    interval_s: float = Field(
        300.0,
        ge=10,
        le=86_400,
        alias="GATEWAYZ_HEALTH_INTERVAL_S",
        description="Time between two rounds of the monitor, which one process makes for all "
        "gateways, seconds; a tenth more or less.",
    )
    check_timeout_s: float = Field(
        10.0,
        gt=0,
        le=60,
        alias="GATEWAYZ_HEALTH_CHECK_TIMEOUT_S",
        description="Longest wait for a provider's answer to a check, seconds.",
    )


class ReadSettings(Group):
    """The read models, and the routes over them."""

    projection_host: Literal["follower", "workers"] = Field(
        "follower",
        alias="GATEWAYZ_PROJECTION_HOST",
        description="Who advances new projections: the gateway, or `gatewayz worker`.",
    )
    follower_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        alias="GATEWAYZ_FOLLOWER_PORT",
        description="Port of the health and metrics of the background process; none without it.",
    )
    wait_s: float = Field(
        2.0,
        gt=0,
        alias="GATEWAYZ_READ_WAIT_S",
        description="Longest wait of a read for its own writes, seconds.",
    )
    trail_max_s: float = Field(
        120.0,
        ge=0,
        alias="GATEWAYZ_READ_TRAIL_MAX_S",
        description="How far read models that no reader waits for may trail while calls need "
        "every core, seconds; 0 is never.",
    )
    statement_s: float = Field(
        5.0,
        gt=0,
        alias="GATEWAYZ_READ_STATEMENT_S",
        description="Longest time of a read's query, seconds.",
    )
    account_reads_max: int = Field(
        8,
        ge=1,
        le=64,
        alias="GATEWAYZ_ACCOUNT_READS_MAX",
        description="Most reads of callers' own accounts and calls at once, in a process.",
    )
    public_reads_max: int = Field(
        2,
        ge=1,
        le=64,
        alias="GATEWAYZ_PUBLIC_READS_MAX",
        description="Most reads at once of what anybody may ask, in a process.",
    )
    waiting_max: int = Field(
        200,
        ge=0,
        alias="GATEWAYZ_READS_WAITING_MAX",
        description="Most reads of either kind that wait for their turn; more get 503.",
    )
    public_statistics: bool = Field(
        False,  # noqa: FBT003 - pydantic's default is positional.
        alias="GATEWAYZ_PUBLIC_STATISTICS",
        description="Show money and numbers of users in statistics to anybody, not to callers "
        "with a key alone.",
    )
    issuer: str = Field(
        "Gatewayz",
        min_length=1,
        max_length=100,
        alias="GATEWAYZ_STATEMENT_ISSUER",
        description="Who issues customers' statements; each issuer has numbers of its own.",
    )
    invoice_tolerance_usd: str = Field(
        "0.01",
        alias="GATEWAYZ_INVOICE_TOLERANCE_USD",
        description="By how much a provider's invoice may differ from what is on record, USD for a "
        "day and model.",
    )
    page_max: int = Field(
        1_000, ge=1, alias="GATEWAYZ_PAGE_MAX", description="Most rows on a page."
    )
    ranking_cache_s: float = Field(
        60.0,
        ge=0,
        alias="GATEWAYZ_RANKING_CACHE_S",
        description="How long a ranking is shown before it is computed anew, seconds.",
    )
    ranking_days_max: int = Field(
        90,
        ge=1,
        le=365,
        alias="GATEWAYZ_RANKING_DAYS_MAX",
        description="Longest window of a ranking.",
    )

    @field_validator("invoice_tolerance_usd")
    @classmethod
    def _an_amount(cls, text: str) -> str:
        parse_usd(text)
        return text
