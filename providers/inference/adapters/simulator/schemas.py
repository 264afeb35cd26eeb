"""Values that fit a JSON Schema, made from nothing but the schema (draft 2020-12).

So that agents can be tried without a key: the simulator's structured replies and its tools'
arguments fit what was asked for. Text that a schema leaves free is the caller's own words.
"""

from __future__ import annotations

import math
from typing import Any

from providers.inference.adapters.simulator.patterns import PatternError, text_matching

DEPTH_MAX = 32
VALUES_MAX = 2_000
"""Most values of one example, so that no schema makes an endless one."""
ITEMS_MAX = 100
TEXT_CHARACTERS_MAX = 10_000
FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "idn-email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "json-pointer": "/a",
    "regex": ".",
}
"""One value of each format (JSON Schema validation, section 7.3)."""
ALTERNATIVES = ("anyOf", "oneOf")
CONSTANTS: dict[str | None, bool | None] = {"boolean": True, "null": None}


class SchemaError(ValueError):
    """No value can be made; the message says which part of the schema is to blame."""


class Example:
    """Makes one value."""

    def __init__(self, schema: Any, text: str) -> None:
        """`text` is what free text says."""
        self._root, self._text, self._left = schema, text, VALUES_MAX

    def value(self) -> Any:
        """The value; raises SchemaError."""
        return self._of(self._root, DEPTH_MAX)

    def _of(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        if depth <= 0 or self._left < 0:
            message = "the schema asks for a value without an end"
            raise SchemaError(message)
        schema = self._merged(schema, depth)
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        for word in ALTERNATIVES:
            if isinstance(schema.get(word), list) and schema[word]:
                return self._alternative(schema, word, depth)
        return self._plain(schema, depth)

    def _plain(self, schema: dict[str, Any], depth: int) -> Any:
        """A value of the schema's type."""
        kind = _kind(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind == "string":
            return self._string(schema)
        if kind in ("integer", "number"):
            return _number(schema, whole=kind == "integer")
        return CONSTANTS.get(kind, self._text)

    def _merged(self, schema: Any, depth: int) -> dict[str, Any]:
        """A schema with its references and `allOf` taken in."""
        if schema is True:
            return {}
        if not isinstance(schema, dict):
            message = f"{schema!r} allows no value" if schema is False else "a schema is an object"
            raise SchemaError(message)
        if depth <= 0:
            message = "the schema refers to itself without an end"
            raise SchemaError(message)
        merged = {name: value for name, value in schema.items() if name not in ("$ref", "allOf")}
        parts = list(schema["allOf"]) if isinstance(schema.get("allOf"), list) else []
        if isinstance(schema.get("$ref"), str):
            parts.append(self._referred(schema["$ref"]))
        for part in parts:
            for name, value in self._merged(part, depth - 1).items():
                if name == "properties" and isinstance(merged.get(name), dict):
                    merged[name] = {**value, **merged[name]}
                elif name == "required" and isinstance(merged.get(name), list):
                    merged[name] = [*merged[name], *value]
                else:
                    merged.setdefault(name, value)
        return merged

    def _referred(self, reference: str) -> Any:
        found: Any = self._root
        if not reference.startswith("#"):
            message = f"$ref {reference[:100]!r} is outside the schema"
            raise SchemaError(message)
        for part in reference[1:].split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or name not in found:
                message = f"$ref {reference[:100]!r} leads nowhere"
                raise SchemaError(message)
            found = found[name]
        return found

    def _alternative(self, schema: dict[str, Any], word: str, depth: int) -> Any:
        """The first alternative of which there is a value; the plainest ends a recursion."""
        rest = {name: value for name, value in schema.items() if name != word}
        problem: SchemaError | None = None
        for each in schema[word][:ITEMS_MAX]:
            left = self._left
            try:
                return self._of({**rest, "allOf": [each]}, depth - 1)
            except SchemaError as error:
                self._left, problem = left, error
        raise problem or SchemaError(f"{word} is empty")

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        names = [each for each in required if isinstance(each, str)] if required else []
        if not names and schema.get("minProperties", 0):
            names = list(properties)
        more = schema.get("additionalProperties", True)
        return {name: self._of(properties.get(name, more), depth - 1) for name in names}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        first = schema.get("prefixItems")
        items = [self._of(each, depth - 1) for each in first] if isinstance(first, list) else []
        least = schema.get("minItems", 1 if "items" in schema and not items else len(items))
        if not isinstance(least, int) or least > ITEMS_MAX:
            message = f"minItems is a whole number of at most {ITEMS_MAX} here"
            raise SchemaError(message)
        if schema.get("maxItems") == 0:
            return []
        while len(items) < least:
            items.append(self._of(schema.get("items", True), depth - 1))
        return items

    def _string(self, schema: dict[str, Any]) -> str:
        if isinstance(schema.get("pattern"), str):
            try:
                return text_matching(schema["pattern"])
            except PatternError as error:
                raise SchemaError(str(error)) from None
        text = FORMATS.get(str(schema.get("format")), self._text)
        least, most = schema.get("minLength", 0), schema.get("maxLength", TEXT_CHARACTERS_MAX)
        if not isinstance(least, int) or least > TEXT_CHARACTERS_MAX:
            message = f"minLength is a whole number of at most {TEXT_CHARACTERS_MAX} here"
            raise SchemaError(message)
        return text.ljust(least, ".")[: most if isinstance(most, int) and most >= 0 else None]


def _kind(schema: dict[str, Any]) -> str | None:
    """The type that a value shall have; of several the first that is not null."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return next((each for each in kinds if each != "null"), "null")
    if isinstance(kinds, str):
        return kinds
    for word, kind in (("properties", "object"), ("required", "object"), ("items", "array")):
        if word in schema:
            return kind
    return "string" if "pattern" in schema or "format" in schema else None


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    """The number nearest to 1 that the limits allow."""
    step = schema.get("multipleOf", 1 if whole else None)
    least, most = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    above, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    unit = step or (1 if whole else 0.5)
    if isinstance(above, int | float):
        least = max(least, above + unit)
    if isinstance(below, int | float):
        most = min(most, below - unit)
    value = min(max(1, least), most)
    if step:
        value = math.ceil(value / step) * step
        value = value if value <= most else math.floor(most / step) * step
    if least > most or not math.isfinite(value) or value < least:
        if isinstance(above, int | float) and isinstance(below, int | float) and above < below:
            return (above + below) / 2
        message = "no number lies within the schema's limits"
        raise SchemaError(message)
    return int(value) if whole else value
