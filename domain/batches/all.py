"""All batches, folded from the log: what the table of them has to hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from domain.batches.batch import Batch, evolve
from domain.events.work.batches import BatchEvent

if TYPE_CHECKING:
    from uuid import UUID

    from domain.events.base import Event


@dataclass(slots=True)
class AllBatches:
    """By its id the state of each."""

    by_id: dict[UUID, Batch] = field(default_factory=dict)

    def apply(self, event: Event) -> None:
        """Take in the next event of the log; most are about something else."""
        if isinstance(event, BatchEvent):
            batch_id = event.originator_id
            self.by_id[batch_id] = evolve(self.by_id.get(batch_id, Batch()), event)
