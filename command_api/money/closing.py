"""A lot ends before its time: what is left of it expires at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from event_store.append.entries import Entry, EntryKind
from event_store.ids import new_envelope

if TYPE_CHECKING:
    from uuid import UUID

    from event_store.append.committer import Committer


async def append_close(committer: Committer, account_id: UUID, lot_id: UUID, *, actor: str) -> int:
    """Close a lot; returns what expired of it, nano-USD: nothing where it was at its end.

    What calls hold of it stays theirs, and what they leave of that expires. The same again changes
    nothing. Raises EventStoreError.
    """
    fields = {**new_envelope(actor), "account_id": str(account_id), "lot_id": str(lot_id)}
    state = msgspec.json.encode(fields)[:-1]
    answer = await committer.append(
        Entry(EntryKind.CLOSE, lot_id.bytes, account_id.bytes, 0, state)
    )
    return answer.figure
