"""Compares the table of provider keys with the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.provider_keys.all import AllProviderKeys
    from domain.provider_keys.keys import ProviderKey

_ROWS = (
    "SELECT provider_key_id, version, scope_id::text, account_id::text, organisation_id::text, "
    "project_id::text, provider, label, hint, enabled, fallback, removed FROM provider_key"
)


def _row(key: ProviderKey) -> tuple[Any, ...]:
    return (
        *(key.version, key.owner.scope_id, *key.owner, key.provider, key.label, key.mark.hint),
        *(key.enabled, key.fallback, key.removed),
    )


def provider_key_differences(
    connection: psycopg.Connection[Any], logged: AllProviderKeys
) -> Iterator[str]:
    """Every key that differs."""
    stored = {row[0]: tuple(row[1:]) for row in connection.execute(_ROWS).fetchall()}
    for key_id in sorted(stored.keys() | logged.keys.keys()):
        here, told = stored.get(key_id), logged.keys.get(key_id)
        if here != (told and _row(told)):
            yield f"provider_key {key_id}: stored {here!r}, the log says {told!r}"
