"""Which partition an event belongs to: its account's, read from what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec
import pytest

from event_store.log.partitions import partition_key, partition_of
from event_store.log.reading import entry_of, partition_in, read_rows_after
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database

STREAM = UUID("00000000-0000-7000-8000-000000000001")
ACCOUNT = "00000000-0000-7000-8000-00000000000a"


def test_every_event_goes_with_its_account_else_its_stream(database: Database) -> None:
    """What is read from the stored bytes is what the decoded event says (P7)."""
    History(database).calls(20)
    with database.connect() as connection:
        rows = read_rows_after(connection, 0, 10_000)
    kinds = set()
    for row in rows:
        event = entry_of(row).event
        account = getattr(event, "account_id", None)
        key = partition_key(row[4], row[3])
        assert key == (account or str(event.originator_id))
        assert partition_in(row, 8) == partition_of(key, 8)
        assert partition_in(row, 1) == 0
        kinds.add((type(event).__name__, account is None))
    assert {lacking for _, lacking in kinds} == {True, False}


@pytest.mark.parametrize(
    ("members", "key"),
    [
        ({"account_id": ACCOUNT}, ACCOUNT),
        ({"id": "x", "account_id": ACCOUNT, "reason": "r"}, ACCOUNT),
        ({"id": "x"}, str(STREAM)),
        ({"account_id": "short"}, str(STREAM)),
        ({"account_id": ACCOUNT + "-and-more"}, str(STREAM)),
        ({"account_id": None}, str(STREAM)),
        ({"reason": f'"account_id":"{ACCOUNT}"'}, str(STREAM)),
    ],
)
def test_only_a_member_of_that_name_counts(members: dict[str, Any], key: str) -> None:
    """Text that somebody sent is no account, and what is no UUID is none either (P7)."""
    assert partition_key(STREAM, msgspec.json.encode(members)) == key


def test_bytes_that_are_no_json_go_with_their_stream() -> None:
    """Even an event that nobody can read has its place (P7)."""
    assert partition_key(STREAM, b"\xff\x00") == str(STREAM)
    assert partition_key(STREAM, b'{"account_id":"') == str(STREAM)
    assert {partition_of(str(STREAM), count) for count in (0, 1)} == {0}
