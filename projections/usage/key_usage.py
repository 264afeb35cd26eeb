"""`key_usage`: what each API key was used for since it exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.ledger import HoldResolved
from projections.call_facts import UNKNOWN, facts_of
from projections.engine.projection import Projection
from projections.engine.tables import Column, Merge, Table, counts, key, sums

if TYPE_CHECKING:
    from event_store.log.reading import LogEntry
    from projections.engine.tables import Changes

KEY_USAGE = Table(
    name="key_usage",
    about="One row a key that was used; money in nano-USD.",
    columns=(
        key("key_id", "text"),
        Column("account_id", "uuid", Merge.FIRST),
        *counts("requests", "errors"),
        *sums("input_tokens", "output_tokens", "charged_nano_usd"),
        Column("first_used_at", "timestamptz", Merge.MIN),
        Column("last_used_at", "timestamptz", Merge.MAX),
    ),
    indexes=("account_id",),
)


class KeyUsage(Projection):
    """See the module."""

    name = "key_usage"
    about = "Use of each API key."
    tables = (KEY_USAGE,)
    handles = (HoldResolved,)
    revision = 2

    def fold(self, entry: LogEntry, changes: Changes) -> None:
        """Count a call for the key that made it."""
        event = entry.event
        assert isinstance(event, HoldResolved)
        facts = changes.worked.once(facts_of, entry.position, event)
        if facts.key_id == UNKNOWN:
            return
        changes.merge(
            KEY_USAGE,
            (facts.key_id,),
            (
                event.account_id,
                1,
                0 if facts.settled else 1,
                facts.input_tokens,
                facts.output_tokens,
                facts.charged,
                event.effective_at,
                event.effective_at,
            ),
        )
