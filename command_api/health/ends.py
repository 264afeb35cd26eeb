"""The end of a maintenance, as people write it."""

from __future__ import annotations

from datetime import UTC, datetime

from domain.errors import InvalidCommandError
from event_store.ids import to_iso


def end_of(text: str) -> str:
    """An instant of ISO 8601 with a zone, as events write it. Raises InvalidCommandError."""
    try:
        found = datetime.fromisoformat(text)
        zoned = found.tzinfo is not None
        # What has no zone is refused below: the house's own must not be read into it.
        found = found.astimezone(UTC) if zoned else found
    except (ValueError, OverflowError):
        message = (
            f"until: {text[:64]!r} is no instant: write it as 2027-01-01T00:00:00Z "
            "(in a URL a + is written %2B)"
        )
        raise InvalidCommandError(message) from None
    if not zoned:
        message = f"until: {text[:64]!r} has no time zone: write it as 2027-01-01T00:00:00Z"
        raise InvalidCommandError(message)
    return to_iso(found)
