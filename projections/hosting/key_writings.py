"""Compares the table of API keys with the log: what opens, for whom, and until when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from domain.identity.key_writings import Writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from domain.identity.key_writings import KeyWritings

_STORED = (
    "SELECT key_hash, key_id::text, user_id::text, account_id::text, masked, name, revoked, "
    "iso_instant(expires_at), replaced, environment, active, deleted, limits, position, "
    "project_id::text, organisation_id::text FROM api_key"
)


def key_differences(connection: psycopg.Connection[Any], keys: KeyWritings) -> Iterator[str]:
    """Every writing of a key that differs, named by its key; its digest is not shown."""
    stored = {row[0]: Writing(*row[1:]) for row in connection.execute(_STORED).fetchall()}
    for digest in sorted(stored.keys() | keys.by_hash.keys()):
        here, logged = stored.get(digest), keys.by_hash.get(digest)
        if here == logged:
            continue
        if here is None or logged is None:
            lacks = "the log has none such" if logged is None else "none is stored"
            known = here or logged
            assert known is not None
            yield f"api_key {known.key_id} ({known.masked}): {lacks}"
            continue
        for name, is_, should in zip(Writing._fields, here, logged, strict=True):
            if is_ != should:
                yield f"api_key {logged.key_id}: {name} is {is_!r}, the log says {should!r}"
