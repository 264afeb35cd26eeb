"""The writings of every API key, folded from the log: what the table `api_key` has to hold.

Pure, and independent of what the append writes beside the events, so that the two can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from domain.events.identity import (
    ApiKeyChanged,
    ApiKeyCreated,
    ApiKeyDeleted,
    ApiKeyRevoked,
    ApiKeyRotated,
)

if TYPE_CHECKING:
    from domain.events.base import Event


class Writing(NamedTuple):
    """One writing of a key; `expires_at` is an instant as events write it, None for never."""

    key_id: str
    user_id: str
    account_id: str
    masked: str
    name: str
    revoked: bool = False
    expires_at: str | None = None
    replaced: bool = False
    """Whether a newer writing of the same key stands in its place."""
    environment: str = "live"
    active: bool = True
    deleted: bool = False
    limits: dict[str, Any] | None = None
    """None for a key without any."""
    position: int = 0
    """In the log, of the key's last event."""
    project_id: str | None = None
    organisation_id: str | None = None


@dataclass(slots=True)
class KeyWritings:
    """As many as the log's keys, with those that were replaced."""

    by_hash: dict[str, Writing] = field(default_factory=dict)
    _of_key: dict[str, list[str]] = field(default_factory=dict)
    """The digests of a key, the present one last."""

    def apply(self, event: Event, position: int = 0) -> None:
        """Take in the next event of the log; most are about something else."""
        match event:
            case ApiKeyCreated():
                self._of_key.setdefault(str(event.originator_id), []).append(event.key_hash)
                self.by_hash[event.key_hash] = Writing(
                    key_id=str(event.originator_id),
                    user_id=event.user_id,
                    account_id=event.account_id,
                    masked=event.masked,
                    name=event.name,
                    expires_at=event.expires_at,
                    environment=event.environment,
                    limits=event.limits or None,
                    project_id=event.project_id,
                    organisation_id=event.organisation_id,
                )
            case ApiKeyRotated():
                self._rotate(event)
            case ApiKeyChanged():
                self._change(event)
            case ApiKeyRevoked():
                self._in_all(event, revoked=True)
            case ApiKeyDeleted():
                self._in_all(event, deleted=True)
            case _:
                return
        self._in_all(event, position=position)

    def _in_all(self, event: Event, **members: Any) -> None:
        """Members that every writing of the event's key has from now on."""
        for each in self._of_key.get(str(event.originator_id), ()):
            self.by_hash[each] = self.by_hash[each]._replace(**members)

    def _change(self, event: ApiKeyChanged) -> None:
        """A new end is the present writing's; those that were replaced end no later."""
        after = event.after
        members = {name: after[name] for name in ("name",) if name in after}
        if "is_active" in after:
            members["active"] = after["is_active"]
        if "limits" in after:
            members["limits"] = after["limits"] or None
        self._in_all(event, **members)
        if "expires_at" not in after:
            return
        for each in self._of_key.get(str(event.originator_id), ()):
            old = self.by_hash[each]
            end = _earlier(old.expires_at, after["expires_at"])
            self.by_hash[each] = old._replace(
                expires_at=end if old.replaced else after["expires_at"]
            )

    def _rotate(self, event: ApiKeyRotated) -> None:
        """The new writing keeps the key's own end; the old one ends at the earlier of the two."""
        hashes = self._of_key.get(str(event.originator_id))
        if not hashes:  # Nothing is known of the key, so nothing can take its place.
            return
        old = self.by_hash[hashes[-1]]
        end = _earlier(old.expires_at, event.old_until)
        self.by_hash[hashes[-1]] = old._replace(expires_at=end, replaced=True)
        self.by_hash[event.key_hash] = old._replace(masked=event.masked)
        hashes.append(event.key_hash)


def _earlier(one: str | None, other: str | None) -> str | None:
    """The earlier of two instants; None is never."""
    ends = [each for each in (one, other) if each is not None]
    return min(ends, default=None)
