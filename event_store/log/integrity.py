"""Questions to the log as a whole that one event cannot answer; PostgreSQL sorts, on its disk.

No memory of ours grows with the log: each question names a few of what it finds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

NAMED_MAX = 20
"""Faults of one kind that are named."""

_ID_MARK = b'"id":"'

_TWICE = """
SELECT convert_from(id, 'UTF8'), positions[1], positions[2] FROM (
  SELECT id, array_agg(notification_id ORDER BY notification_id) AS positions FROM (
    SELECT notification_id,
      substring(state FROM position(%(mark)s IN state) + %(skip)s FOR 36) AS id
    FROM events) e
  GROUP BY id HAVING count(*) > 1) twice
ORDER BY positions[2] LIMIT %(limit)s"""

_OUT_OF_ORDER = """
SELECT originator_id::text, originator_version, notification_id, before, position_before FROM (
  SELECT originator_id, originator_version, notification_id,
    coalesce(lag(originator_version) OVER stream, 0) AS before,
    coalesce(lag(notification_id) OVER stream, 0) AS position_before
  FROM events WINDOW stream AS (PARTITION BY originator_id ORDER BY originator_version)) e
WHERE originator_version <> before + 1 OR notification_id < position_before
ORDER BY notification_id LIMIT %(limit)s"""


def log_faults(connection: psycopg.Connection[Any]) -> list[str]:
    """Event ids that stand twice, and streams with a hole or another order than the log's."""
    twice = connection.execute(
        _TWICE, {"mark": _ID_MARK, "skip": len(_ID_MARK), "limit": NAMED_MAX}, binary=True
    ).fetchall()
    odd = connection.execute(_OUT_OF_ORDER, {"limit": NAMED_MAX}).fetchall()
    return [
        *(
            f"position {second}: the event {id_} stands at {first} too"
            for id_, first, second in twice
        ),
        *(
            f"position {position}: version {version} of stream {stream} follows version {before} "
            f"at position {position_before}"
            for stream, version, position, before, position_before in odd
        ),
    ]
