"""The audit folded from the log itself: complete at once, and with no read model to be believed."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from domain.upcasters import older_topics
from event_store.log.codec import decode_event
from event_store.log.reading import entry_of, read_all_rows
from projections.audit.audit_log import BY_KEY, BY_USER, acting, line_of
from projections.audit.told import TOLD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from projections.audit.audit_log import Line
    from projections.audit.queries import Wanted

KNOWN_OWNERS_MAX = 10_000
"""Owners of keys and accounts that are kept at a time."""
TOPICS = [each for cls in TOLD for each in (cls.TOPIC, *older_topics(cls.TOPIC))]


def audit_from_log(connection: psycopg.Connection[Any], wanted: Wanted) -> Iterator[Line]:
    """The lines that are wanted, oldest first; inside a transaction, with bounded memory.

    Raises MapperDeserialisationError where an event is unreadable.
    """

    @lru_cache(KNOWN_OWNERS_MAX)
    def owner(query: str, named: str) -> str | None:
        row = connection.execute(query.encode(), [UUID(named)]).fetchone()
        return None if row is None else str(row[0])

    def with_user(line: Line) -> Line:
        user = line.user_id
        if user is None and line.key_id is not None:
            user = owner("SELECT user_id FROM api_key WHERE key_id = %s LIMIT 1", line.key_id)
        if user is None and line.account_id is not None:
            user = owner("SELECT user_id FROM user_secret WHERE account_id = %s", line.account_id)
        by = line.actor_user_id or acting(line, BY_USER)
        if by is None and (key_id := acting(line, BY_KEY)) is not None:
            by = owner("SELECT user_id FROM api_key WHERE key_id = %s LIMIT 1", key_id)
        return line._replace(user_id=user, actor_user_id=by)

    for row in read_all_rows(connection, topics=TOPICS):
        line = line_of(entry_of(row, decode_event))
        if line is None or not _in_time(line, wanted):
            continue
        if wanted.actions is not None and line.action not in wanted.actions:
            continue
        line = with_user(line)
        if wanted.user_id in (None, line.user_id and UUID(line.user_id)):
            yield line


def _in_time(line: Line, wanted: Wanted) -> bool:
    return (wanted.since is None or line.booked_at >= wanted.since) and (
        wanted.until is None or line.booked_at < wanted.until
    )
