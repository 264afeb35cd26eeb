"""What consumers rely on: schemas of every event, an AsyncAPI document, and no breaking change."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from domain.events.all import EVENT_CLASSES
from domain.events.ledger import CreditsGranted
from event_store.log.reading import read_rows_after
from event_store.relay import schemas
from event_store.relay.envelope import encode_event, encode_heartbeat
from tests.support.event_schemas import message_validators
from tests.support.history import History

if TYPE_CHECKING:
    from event_store.postgres.database import Database

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs/reference/events"
NAMES = [f"{cls.TOPIC}.schema.json" for cls in EVENT_CLASSES]


def committed(name: str) -> dict[str, Any] | None:
    """A schema as the repository has it; None where it has none, or there is no git."""
    shown = subprocess.run(
        ["git", "show", f"HEAD:docs/reference/events/{name}"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    found: dict[str, Any] | None = json.loads(shown.stdout) if shown.returncode == 0 else None
    return found


@pytest.mark.parametrize("name", [*NAMES, schemas.ASYNCAPI])
def test_the_book_has_the_present_documents(name: str) -> None:
    """Generated, not written: `make schemas` makes them from the domain (rule: docs)."""
    assert (FOLDER / name).read_text() == schemas.text_of(schemas.documents()[name])


@pytest.mark.parametrize("name", NAMES)
def test_no_consumer_breaks(name: str) -> None:
    """Against what is committed: what breaks needs a new version of the type (rule: contract)."""
    before = committed(name)
    if before is not None:
        assert schemas.breaking_changes(before, schemas.documents()[name]) == []


def test_every_event_that_is_written_fits_its_schema(database: Database) -> None:
    """Events of real writers, as the relay sends them, against the AsyncAPI (rule: contract)."""
    History(database).calls(80)
    with database.connect() as connection:
        rows = read_rows_after(connection, 0, 10_000)
    by_type = message_validators()
    seen = set()
    for row in rows:
        message = json.loads(encode_event(row, key="k", previous=0))
        seen.add(message["type"])
        by_type[message["type"]].validate(message)
    assert len(seen) >= 7
    beat = json.loads(encode_heartbeat(1, position=2, previous=1))
    by_type["gatewayz.heartbeat.v1"].validate(beat)


def test_breaking_changes_are_seen() -> None:
    """Losing, retyping or requiring a member breaks; an optional one may come (rule: contract)."""
    old: dict[str, Any] = {
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}, "c": {"type": "string"}},
        "required": ["a", "b"],
    }
    new = {
        "properties": {"a": {"type": "string"}, "c": {"type": "string"}, "d": {"type": "string"}},
        "required": ["a", "c"],
    }
    assert schemas.breaking_changes(old, new) == [
        "the event loses b",
        "a: type was integer, is string",
        "the event: b is no longer required",
        "the event: c is now required",
    ]
    more = {**old, "properties": {**old["properties"], "e": {"type": "string"}}}
    assert schemas.breaking_changes(old, more) == []


def test_a_breaking_change_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The generator refuses, and leaves the files as they are (rule: contract)."""
    assert set(schemas.write(tmp_path)) == {*NAMES, schemas.ASYNCAPI}
    assert schemas.write(tmp_path) == []

    @dataclass(frozen=True, kw_only=True)
    class Changed(CreditsGranted):
        TOPIC = CreditsGranted.TOPIC
        must: int

    monkeypatch.setattr(schemas, "EVENT_CLASSES", (Changed, *EVENT_CLASSES[1:]))
    with pytest.raises(schemas.BreakingChangeError, match="must is now required"):
        schemas.write(tmp_path)
    monkeypatch.setattr(schemas, "EVENT_CLASSES", EVENT_CLASSES[1:])
    with pytest.raises(schemas.BreakingChangeError, match="are gone"):
        schemas.write(tmp_path)
