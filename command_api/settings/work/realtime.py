"""Settings of realtime sessions."""

from __future__ import annotations

from pydantic import Field

from command_api.settings.group import Group


class RealtimeSettings(Group):
    """How many sessions there are, how long they last, and how large their frames are."""

    sessions_max: int = Field(
        200,
        ge=0,
        alias="GATEWAYZ_REALTIME_SESSIONS_MAX",
        description="Most realtime sessions that are open in a process.",
    )
    session_s: float = Field(
        3_600.0,
        gt=0,
        le=86_400,
        alias="GATEWAYZ_REALTIME_SESSION_S",
        description="Longest life of a realtime session, seconds.",
    )
    idle_s: float = Field(
        300.0,
        gt=0,
        alias="GATEWAYZ_REALTIME_IDLE_S",
        description="Longest time in which a realtime session says nothing, seconds.",
    )
    frame_bytes_max: int = Field(
        4 * 2**20,
        ge=4_096,
        le=64 * 2**20,
        alias="GATEWAYZ_REALTIME_FRAME_BYTES_MAX",
        description="Largest frame of a realtime session, either way, bytes.",
    )
    reader_s: float = Field(
        30.0,
        gt=0,
        alias="GATEWAYZ_REALTIME_READER_S",
        description="Longest wait for a side of a realtime session that does not read, seconds.",
    )
