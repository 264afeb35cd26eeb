"""All provider keys, folded from the log: what the inline state has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.events.work.provider_keys import ProviderKeyEvent
from domain.provider_keys.keys import evolve_provider_key

if TYPE_CHECKING:
    from uuid import UUID

    from domain.events.base import Event
    from domain.provider_keys.keys import ProviderKey


@dataclass(slots=True)
class AllProviderKeys:
    """By its id each key, removed ones too."""

    keys: dict[UUID, ProviderKey] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if isinstance(event, ProviderKeyEvent):
            made = evolve_provider_key(self.keys.get(event.originator_id), event)
            if made is not None:
                self.keys[made.id] = made
