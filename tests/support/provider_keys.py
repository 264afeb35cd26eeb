"""Provider keys for tests, as events alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domain.events.base import By
from domain.provider_keys.keys import (
    Changes,
    Mark,
    NewKey,
    Owner,
    change_key,
    remove_key,
    replay_provider_key,
    store_key,
)
from event_store.ids import new_envelope, new_uuid7
from event_store.log.aggregates import Aggregates

if TYPE_CHECKING:
    from domain.events.base import Event
    from event_store.postgres.database import Database


def tell_provider_keys(database: Database, user_id: str, account_id: str) -> None:
    """One from its storing to its removal, and one of a project that stays."""
    by, actor = By(user_id, "origin-0013"), f"user:{user_id}"
    aggregates = Aggregates(database)
    try:
        for project in (None, str(new_uuid7())):
            owner, new = Owner(account_id, user_id, project), NewKey("local", "ours")
            key, mark = new_uuid7(), Mark("WXYZ", "00ff")
            events: list[Event] = [store_key(key, owner, new, mark, by, new_envelope(actor))]
            changes = Changes("theirs", enabled=False, mark=Mark("QRST", "11ee"))
            stamps = new_envelope(actor), new_envelope(actor)
            events += change_key(replay_provider_key(events), changes, by, stamps)
            if project is None:
                gone = remove_key(replay_provider_key(events), by, new_envelope(actor))
                events.append(gone)
            aggregates.append(events)
    finally:
        aggregates.close()
