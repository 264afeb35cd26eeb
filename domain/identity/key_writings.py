"""The writings of every API key, folded from the log: what the table `api_key` has to hold.

Pure, and independent of what the append writes beside the events, so that the two can be compared.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from domain.events.identity import ApiKeyCreated, ApiKeyRevoked, ApiKeyRotated

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


@dataclass(slots=True)
class KeyWritings:
    """As many as the log's keys, with those that were replaced."""

    by_hash: dict[str, Writing] = field(default_factory=dict)
    _of_key: dict[str, list[str]] = field(default_factory=dict)
    """The digests of a key, the present one last."""

    def apply(self, event: Event) -> None:
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
                )
            case ApiKeyRotated():
                self._rotate(event)
            case ApiKeyRevoked():
                for each in self._of_key.get(str(event.originator_id), ()):
                    self.by_hash[each] = self.by_hash[each]._replace(revoked=True)
            case _:
                pass

    def _rotate(self, event: ApiKeyRotated) -> None:
        """The new writing keeps the key's own end; the old one ends at the earlier of the two."""
        hashes = self._of_key.get(str(event.originator_id))
        if not hashes:  # Nothing is known of the key, so nothing can take its place.
            return
        old = self.by_hash[hashes[-1]]
        ends = [each for each in (old.expires_at, event.old_until) if each is not None]
        self.by_hash[hashes[-1]] = old._replace(expires_at=min(ends), replaced=True)
        self.by_hash[event.key_hash] = old._replace(masked=event.masked)
        hashes.append(event.key_hash)
