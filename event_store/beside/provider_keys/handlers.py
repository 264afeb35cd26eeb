"""What the events of provider keys change beside the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from domain.events.work.provider_keys import (
    ProviderKeyChanged,
    ProviderKeyRemoved,
    ProviderKeyReplaced,
    ProviderKeyStored,
)
from event_store.beside.channels import KEYS_CHANNEL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from uuid import UUID

    from eventsourcing.persistence import StoredEvent
    from psycopg import Cursor
    from psycopg.rows import DictRow

    Handler = Callable[[Cursor[DictRow], StoredEvent], None]

_POSITION = (
    "(SELECT notification_id FROM events "
    "WHERE originator_id = %(stream)s AND originator_version = %(version)s)"
)
_TELL = (
    f"SELECT pg_notify('{KEYS_CHANNEL}', scope_id::text) FROM provider_key "
    "WHERE provider_key_id = %(stream)s"
)
_STORED = (
    "INSERT INTO provider_key (provider_key_id, version, scope_id, account_id, organisation_id, "
    "project_id, provider, label, hint, enabled, fallback, created_at, position) VALUES "
    "(%(stream)s, %(version)s, coalesce(%(project_id)s::uuid, %(organisation_id)s::uuid), "
    "%(account_id)s, %(organisation_id)s::uuid, %(project_id)s::uuid, %(provider)s, %(label)s, "
    f"%(hint)s, %(enabled)s, %(fallback)s, %(effective_at)s, {_POSITION})"
)


_UPDATED = f"UPDATE provider_key SET version = %(version)s, position = {_POSITION}, "
_THAT_ONE = " WHERE provider_key_id = %(stream)s"
_REPLACED = f"{_UPDATED}hint = %(hint)s{_THAT_ONE}"
_CHANGED = f"{_UPDATED}label = %(label)s, enabled = %(enabled)s, fallback = %(fallback)s{_THAT_ONE}"
_REMOVED = f"{_UPDATED}removed = true{_THAT_ONE}"


def _apply(statement: str, *, shreds: bool = False) -> Handler:
    """A handler that executes a statement, and tells gateways whose keys to look up anew."""

    def handle(cursor: Cursor[DictRow], stored: StoredEvent) -> None:
        fact = {
            "project_id": None,
            **msgspec.json.decode(stored.state),
            "stream": stored.originator_id,
            "version": stored.originator_version,
        }
        cursor.execute(statement.encode(), fact)
        if shreds:
            cursor.execute(
                "DELETE FROM provider_key_secret WHERE provider_key_id = %(stream)s", fact
            )
        cursor.execute(_TELL.encode(), fact)

    return handle


HANDLERS: Mapping[str, Handler] = {
    ProviderKeyStored.TOPIC: _apply(_STORED),
    ProviderKeyReplaced.TOPIC: _apply(_REPLACED),
    ProviderKeyChanged.TOPIC: _apply(_CHANGED),
    ProviderKeyRemoved.TOPIC: _apply(_REMOVED, shreds=True),
}


def shred_of_organisation(cursor: Cursor[DictRow], organisation_id: UUID | str) -> None:
    """Delete every secret of an organisation that was closed, or of a user who left."""
    cursor.execute("DELETE FROM provider_key_secret WHERE organisation_id = %s", [organisation_id])


def shred_of_project(cursor: Cursor[DictRow], project_id: UUID | str) -> None:
    """Delete every secret of a project that was archived."""
    cursor.execute(
        "DELETE FROM provider_key_secret WHERE provider_key_id IN "
        "(SELECT provider_key_id FROM provider_key WHERE scope_id = %s)",
        [project_id],
    )
