"""What things are called in Redis, and how its replies read.

A table's counter becomes one sorted set for each leading part of the key (a day, a window),
whose members are the rest of the key and whose scores are the sums.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from projections.engine.projection import Projection
    from projections.engine.tables import Row, Table

PREFIX = "gatewayz"
SEPARATOR = "\x1f"
"""Between the parts of a key; no identifier contains it (ASCII unit separator)."""

Sets = dict[str, dict[str, int]]
"""Members with their counts, by the name of the sorted set."""


def progress_name(projection: Projection, version: int) -> str:
    """Name of the hash that has the position of each partition."""
    return f"{PREFIX}:progress:{projection.name}:v{version}"


def table_stem(table: Table, version: int) -> str:
    """What the names of all sets of a table begin with."""
    return f"{PREFIX}:{table.name}:v{version}:"


def set_name(table: Table, version: int, column: str, lead: Sequence[Any]) -> str:
    """Name of the set that has one column under a leading part of the key."""
    return f"{table_stem(table, version)}{column}:" + SEPARATOR.join(map(str, lead))


def expires_at(table: Table, key: Row) -> int:
    """Unix time, whole seconds, at which a set is too old; as PostgreSQL prunes rows."""
    began = datetime.fromisoformat(key[table.names.index(table.time)])
    return int((began + timedelta(days=table.keep_days)).timestamp())


def progress_in(reply: Any) -> dict[int, int]:
    """Position by partition, from the hash."""
    return {int(partition): int(at) for partition, at in pairs_in(reply).items()}


def pairs_in(reply: Any) -> dict[str, str]:
    """A flat reply of names and values; the client may have paired it already."""
    if isinstance(reply, dict):
        return reply
    if reply and isinstance(reply[0], (list, tuple)):
        return dict(reply)
    return dict(zip(reply[::2], reply[1::2], strict=True))


def counts_in(members: dict[str, Any]) -> dict[str, int]:
    """Scores are doubles, written as integers while they are exact."""
    return {member: int(str(score).removesuffix(".0")) for member, score in members.items()}


def rows_in(table: Table, version: int, sets: Sets) -> Iterator[Row]:
    """The rows of a table among some sets, in key order."""
    found: dict[Row, list[int]] = {}
    for place, column in enumerate(table.values):
        stem = set_name(table, version, column.name, ())
        for name, members in sets.items():
            if not name.startswith(stem):
                continue
            lead = name[len(stem) :].split(SEPARATOR)
            for member, score in members.items():
                key = (*lead, *member.split(SEPARATOR))
                found.setdefault(key, [0] * len(table.values))[place] = score
    return iter([(*key, *found[key]) for key in sorted(found)])
