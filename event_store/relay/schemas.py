"""JSON Schemas and the AsyncAPI document of the events, made from the domain's classes.

`make schemas` writes them into the book. A change that would break a consumer of a type is
refused: such a change is a new type, with the next version in its name and an upcaster.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints, is_typeddict
from uuid import UUID

import msgspec

from domain.events.all import EVENT_CLASSES
from domain.upcasters import UPCASTERS
from event_store.relay.envelope import HEARTBEAT, SCHEMA_URN

if TYPE_CHECKING:
    from domain.events.base import Event

DIALECT = "https://json-schema.org/draft/2020-12/schema"
OUTSIDE = frozenset({"originator_id", "originator_version"})
"""Members that travel in the envelope: subject and streamversion."""
ASYNCAPI = "asyncapi.json"
TOPIC = "gatewayz.events.v1"

Schema = dict[str, Any]


class BreakingChangeError(ValueError):
    """A schema would break its consumers; names what changed."""


def schema_of(cls: type[Event]) -> Schema:
    """The JSON Schema of one event's data. Consumers must tolerate members they do not know."""
    hints = get_type_hints(cls, localns={"UUID": UUID})
    own = [each for each in fields(cls) if each.name not in OUTSIDE]
    return {
        "$schema": DIALECT,
        "$id": SCHEMA_URN + cls.TOPIC,
        "title": cls.TOPIC,
        "description": " ".join((cls.__doc__ or "").split()),
        "type": "object",
        "properties": {each.name: _type(hints[each.name]) for each in own},
        "required": [
            each.name for each in own if each.default is MISSING and each.default_factory is MISSING
        ],
    }


_SIMPLE: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    UUID: {"type": "string", "format": "uuid"},
    Any: {},
}


def _type(hint: Any) -> Schema:
    if hint in _SIMPLE:
        return _SIMPLE[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type(each) for each in arguments]}
    if origin is list:
        return {"type": "array", "items": _type(arguments[0])}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _type(arguments[1])}
    if is_typeddict(hint):
        members = get_type_hints(hint)
        return {
            "type": "object",
            "properties": {name: _type(each) for name, each in members.items()},
            "required": list(members),
        }
    message = f"no JSON Schema is known for {hint!r}"
    raise TypeError(message)


def asyncapi(classes: tuple[type[Event], ...] = EVENT_CLASSES) -> Schema:
    """The AsyncAPI 3.0 document of the topic."""
    names = {cls.TOPIC: cls.__name__ for cls in classes}
    messages: Schema = {
        names[cls.TOPIC]: {
            "name": cls.TOPIC,
            "title": cls.TOPIC,
            "summary": " ".join((cls.__doc__ or "").split()),
            "contentType": "application/cloudevents+json; charset=UTF-8",
            "payload": _envelope(cls.TOPIC, {"$ref": f"./{cls.TOPIC}.schema.json"}),
        }
        for cls in classes
    }
    messages["Heartbeat"] = {
        "name": HEARTBEAT,
        "title": HEARTBEAT,
        "summary": "The partition has no event up to `position` after `previousposition`.",
        "contentType": "application/cloudevents+json; charset=UTF-8",
        "payload": _envelope(HEARTBEAT, None),
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Gatewayz events",
            "version": "1.0.0",
            "description": (
                "Every event of the ledger, in the order of the log within a partition. The "
                "key is the account an event belongs to, else its stream. Delivery is at least "
                "once: skip what is not beyond your position; where `previousposition` is "
                "beyond it you have missed something."
            ),
        },
        "channels": {
            "events": {
                "address": TOPIC,
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
            }
        },
        "operations": {
            "publishEvents": {
                "action": "send",
                "channel": {"$ref": "#/channels/events"},
                "summary": "`gatewayz relay` publishes the log.",
            }
        },
        "components": {"messages": messages},
    }


def _envelope(topic: str, data: Schema | None) -> Schema:
    text = {"type": "string"}
    position = {"type": "string", "pattern": "^[0-9]+$"}
    properties: Schema = {
        "specversion": {"const": "1.0"},
        "id": text,
        "source": text,
        "type": {"const": topic},
        "position": position,
        "previousposition": position,
    }
    required = list(properties)
    if data is not None:
        members: Schema = {
            "subject": text,
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "dataschema": {"const": SCHEMA_URN + topic},
            "partitionkey": text,
            "streamversion": {"type": "integer", "minimum": 1},
            "data": data,
        }
        properties |= members
        required += list(members)
    return {"type": "object", "properties": properties, "required": required}


def breaking_changes(old: Schema, new: Schema, path: str = "") -> list[str]:
    """What a consumer of `old` could not cope with in `new`: [] when nothing.

    Members may be added as optional. Taking one away, changing its type, and making it optional
    or required all break somebody: those who read what is new, or those who read what is old.
    """
    where = path or "the event"
    before, after = old.get("properties", {}), new.get("properties", {})
    found = [f"{where} loses {name}" for name in before if name not in after]
    for name in before:
        if name in after:
            found += breaking_changes(before[name], after[name], f"{path}.{name}".lstrip("."))
    was, now = set(old.get("required", [])), set(new.get("required", []))
    found += [f"{where}: {name} is no longer required" for name in sorted(was - now)]
    found += [f"{where}: {name} is now required" for name in sorted(now - was)]
    for member in ("type", "anyOf", "items", "additionalProperties", "format"):
        if "properties" not in old and old.get(member) != new.get(member):
            found.append(f"{where}: {member} was {old.get(member)}, is {new.get(member)}")
    return found


def documents() -> dict[str, Schema]:
    """All files by name."""
    schemas = {f"{cls.TOPIC}.schema.json": schema_of(cls) for cls in EVENT_CLASSES}
    return {**schemas, ASYNCAPI: asyncapi()}


def text_of(document: Schema) -> str:
    """A document as it stands in a file."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


def write(folder: Path) -> list[str]:
    """Write the files that changed; returns their names.

    Raises BreakingChangeError, having written nothing, when a type that is there already would
    change so that a consumer breaks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, document in documents().items():
        file = folder / name
        before = msgspec.json.decode(file.read_bytes()) if file.exists() else None
        if (
            before is not None
            and name != ASYNCAPI
            and (broken := breaking_changes(before, document))
        ):
            message = f"{name}: {'; '.join(broken)}. Make it a new version of the type"
            raise BreakingChangeError(message)
        if before != document:
            changed.append(name)
    # A version that was replaced keeps its document: a topic may hold its events for long.
    replaced = {f"{topic}.schema.json" for topic in UPCASTERS}
    present = documents().keys() | replaced
    gone = [each.name for each in folder.glob("*.schema.json") if each.name not in present]
    if gone:
        message = f"types that were published are gone: {', '.join(sorted(gone))}"
        raise BreakingChangeError(message)
    for name in changed:
        (folder / name).write_text(text_of(documents()[name]))
    return changed


def main() -> None:
    """`python -m event_store.relay.schemas FOLDER`."""
    for name in write(Path(sys.argv[1])):
        sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    main()
