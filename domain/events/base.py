"""The facts. Every event is immutable and carries only JSON values, so that it can be read
by anything that reads JSON, now or in ten years (P5).

Each class names its wire type in `TOPIC`. The position in the log and `booked_at` are given
by the store when the event is appended; everything else is in the event itself. Amounts are
integers of nano-USD. No personal data stands here in the clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypedDict

if TYPE_CHECKING:
    from uuid import UUID


class Stamp(TypedDict):
    """What every event of one action carries; see `Event`."""

    id: str
    effective_at: str
    actor: str
    correlation_id: str


class By(NamedTuple):
    """Who acts: their user id (None for an operator at a shell), from where, and why.

    `origin` stands for the address (a keyed hash); `reason` is told where the act wants one.
    """

    user_id: str | None = None
    origin: str = ""
    reason: str = ""

    def named(self) -> dict[str, Any]:
        """Who and from where, as events carry it."""
        return {"by_user_id": self.user_id, "origin": self.origin}

    def told(self) -> dict[str, Any]:
        """The same, and why."""
        return {**self.named(), "reason": self.reason}


@dataclass(frozen=True, kw_only=True)
class Event:
    """What every event carries.

    `id` is a UUIDv7. `effective_at` is when the fact counts (ISO 8601, UTC, microseconds);
    `correlation_id` names the user's action (a caller's own id for it is hashed),
    `causation_id` the direct cause.
    """

    TOPIC: ClassVar[str]
    CATEGORY: ClassVar[str]

    originator_id: UUID
    originator_version: int
    id: str
    effective_at: str
    actor: str
    correlation_id: str
    causation_id: str | None = None

    @property
    def stream(self) -> str:
        """Name of the stream: category and id."""
        return f"{self.CATEGORY}-{self.originator_id}"
