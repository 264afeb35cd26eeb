"""Checks what tests write against the published schemas of the events."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from event_store.relay.schemas import ASYNCAPI

if TYPE_CHECKING:
    from event_store.postgres.database import Database

FOLDER = Path(__file__).parents[2] / "docs/reference/events"
CHECKED_MAX = 200
"""Events of one test that are checked; more are of the same kinds."""


@cache
def data_validators() -> dict[str, jsonschema.Draft202012Validator]:
    """A validator for the data of each type."""
    schemas = [json.loads(file.read_text()) for file in FOLDER.glob("*.schema.json")]
    return {each["title"]: jsonschema.Draft202012Validator(each) for each in schemas}


@cache
def message_validators() -> dict[str, jsonschema.Draft202012Validator]:
    """A validator for each message of the AsyncAPI document, by type."""
    known: Registry[Any] = Registry().with_resources(
        (f"./{name}", DRAFT202012.create_resource(json.loads((FOLDER / name).read_text())))
        for name in (each.name for each in FOLDER.glob("*.schema.json"))
    )
    document = json.loads((FOLDER / ASYNCAPI).read_text())
    return {
        each["name"]: jsonschema.Draft202012Validator(each["payload"], registry=known)
        for each in document["components"]["messages"].values()
    }


def check_events(database: Database) -> None:
    """Every event that a test has written fits its schema; foreign types are passed over."""
    with database.connect() as connection:
        rows = connection.execute(
            "SELECT topic, state FROM events ORDER BY notification_id LIMIT %s", [CHECKED_MAX]
        ).fetchall()
    for topic, state in rows:
        if topic in data_validators():
            data_validators()[topic].validate(json.loads(bytes(state)))
