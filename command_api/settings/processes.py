"""Settings of the installation and of its processes."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from command_api.settings.group import Group
from domain.identity.access import networks_of

ORIGIN = re.compile(r"https?://[^/?#@\s*]+")
"""As browsers send it: no path, and never `null`, which any sandboxed page may send."""


class InstallationSettings(Group):
    """What every process of an installation knows."""

    home: Path = Field(
        Path(".gatewayz"),
        alias="GATEWAYZ_HOME",
        description="Folder of all data of this installation.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "warning",
        alias="GATEWAYZ_LOG_LEVEL",
        description="Least severe log line that is written.",
    )
    request_log: bool = Field(
        default=False,
        alias="GATEWAYZ_REQUEST_LOG",
        description="A line of JSON for each request on standard output.",
    )


class ServerSettings(Group):
    """The serving processes and their port."""

    host: str = Field("127.0.0.1", alias="GATEWAYZ_HOST", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, alias="GATEWAYZ_PORT", description="Port to listen on.")
    workers: int = Field(1, ge=1, le=64, alias="GATEWAYZ_WORKERS", description="Serving processes.")
    connections_max: int = Field(
        4_096,
        ge=1,
        alias="GATEWAYZ_CONNECTIONS_MAX",
        description="Most open client connections.",
    )
    head_bytes_max: int = Field(
        32 * 1024,
        ge=4_096,
        le=1024 * 1024,
        alias="GATEWAYZ_HEAD_BYTES_MAX",
        description="Largest head of a request: its line and its headers, bytes.",
    )
    head_timeout_s: float = Field(
        10.0,
        gt=0,
        alias="GATEWAYZ_HEAD_TIMEOUT_S",
        description="Time to send the head of a request, seconds.",
    )
    write_timeout_s: float = Field(
        30.0,
        gt=0,
        alias="GATEWAYZ_WRITE_TIMEOUT_S",
        description="How long a client may leave a reply unread, seconds.",
    )
    stream_buffer_bytes: int = Field(
        64 * 1024,
        ge=4_096,
        le=16 * 2**20,
        alias="GATEWAYZ_STREAM_BUFFER_BYTES",
        description="Most bytes of a stream that wait for its reader before its provider is read "
        "no further, beside the piece at hand.",
    )
    replies_bytes_max: int = Field(
        256 * 2**20,
        ge=1024,
        alias="GATEWAYZ_REPLIES_BYTES_MAX",
        description="Most bytes of large replies that wait for their readers in a process; beyond "
        "it the one that has waited longest is cut.",
    )
    shutdown_grace_s: int = Field(
        10,
        ge=0,
        alias="GATEWAYZ_SHUTDOWN_GRACE_S",
        description="Time for calls in flight at shutdown, seconds.",
    )
    trusted_proxies: str = Field(
        "",
        alias="GATEWAYZ_TRUSTED_PROXIES",
        description="Addresses and networks of proxies that are believed in `X-Forwarded-For`, "
        "with commas.",
    )
    cors_origins: str = Field(
        "",
        alias="GATEWAYZ_CORS_ORIGINS",
        description="Origins whose pages may call from a browser, with commas; `*` is any.",
    )

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, given: str) -> str:
        networks_of(_listed(given))  # Raises ValueError.
        return given

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, given: str) -> str:
        for each in _listed(given):
            if each != "*" and not ORIGIN.fullmatch(each):
                message = f"{each!r} is no origin: `https://host` or `https://host:port`, or `*`"
                raise ValueError(message)
        return given

    @property
    def origins(self) -> list[str]:
        """The origins whose pages may call, one by one."""
        return _listed(self.cors_origins)

    @property
    def proxies(self) -> list[str]:
        """The trusted proxies, one by one."""
        return _listed(self.trusted_proxies)


def _listed(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


class LeaseSettings(Group):
    """How processes tell each other that they live, and who resolves what the dead left."""

    life_s: float = Field(
        30.0,
        gt=0,
        alias="GATEWAYZ_LEASE_S",
        description="Life of a process's lease, seconds.",
    )
    heartbeat_s: float = Field(
        5.0,
        gt=0,
        alias="GATEWAYZ_HEARTBEAT_S",
        description="Time between lease renewals, seconds.",
    )
    sweep_interval_s: float = Field(
        10.0,
        gt=0,
        alias="GATEWAYZ_SWEEP_INTERVAL_S",
        description="Time between sweeps, seconds.",
    )


class RelaySettings(Group):
    """The process that brings the log to Kafka."""

    port: int = Field(
        8010,
        ge=0,
        le=65535,
        alias="GATEWAYZ_RELAY_PORT",
        description="Port of the relay's health and metrics.",
    )
    batch_events_max: int = Field(
        5_000,
        ge=1,
        le=50_000,
        alias="GATEWAYZ_RELAY_BATCH_EVENTS_MAX",
        description="Most events that the relay has under way.",
    )
    heartbeat_s: float = Field(
        0.25,
        gt=0,
        alias="GATEWAYZ_RELAY_HEARTBEAT_S",
        description="Least time between heartbeats to idle partitions, seconds.",
    )


class WorkerSettings(Group):
    """The processes that project from Kafka."""

    port: int = Field(
        6066,
        ge=1,
        le=65535,
        alias="GATEWAYZ_WORKER_PORT",
        description="Port of a worker's health and metrics.",
    )
    batch_events_max: int = Field(
        5_000,
        ge=1,
        le=50_000,
        alias="GATEWAYZ_WORKER_BATCH_EVENTS_MAX",
        description="Most events that a worker applies at once.",
    )
