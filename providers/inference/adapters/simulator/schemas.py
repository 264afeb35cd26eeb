"""Values that fit a JSON Schema, made from nothing but the schema (draft 2020-12).

So that agents can be tried without a key: the simulator's structured replies and its tools'
arguments fit what was asked for. Text that a schema leaves free is the caller's own words.
"""

from __future__ import annotations

import math
from copy import copy
from fractions import Fraction
from typing import Any

import msgspec

from providers.inference.adapters.simulator.keywords import (
    NAME_CHARACTERS_MAX,
    UNSET,
    Schema,
    SchemaError,
    members_of,
    read_schema,
)
from providers.inference.adapters.simulator.patterns import PatternError, text_matching

DEPTH_MAX = 32
WORK_MAX = 256_000
"""Most work on one example, so that no schema makes an endless one: a value, an alternative or a
part costs VALUE_WORK, each member that is looked at and each character that is made costs one."""
VALUE_WORK = 128
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
CONSTANTS: dict[str | None, bool | None] = {"boolean": True, "null": None}


class Example:
    """Makes one value."""

    def __init__(self, schema: Any, text: str) -> None:
        """`text` is what free text says."""
        self._root, self._text, self._left = schema, text, WORK_MAX
        self._within: list[str] = ["#"]
        """The references that are being followed: one that comes again has no end."""

    def value(self) -> Any:
        """The value; raises SchemaError."""
        return self._of(self._root, DEPTH_MAX)

    def _spend(self, work: int) -> None:
        self._left -= work
        if self._left < 0:
            message = "the schema asks for more than is made here"
            raise SchemaError(message)

    def _of(self, schema: Any, depth: int) -> Any:
        within = len(self._within)
        try:
            return self._fitting(self._merged(schema, depth), depth)
        finally:
            del self._within[within:]

    def _fitting(self, schema: Schema, depth: int) -> Any:
        if keyword := schema.not_honoured:
            message = f"the keyword {keyword!r} is not honoured here"
            raise SchemaError(message)
        if schema.const is not UNSET or schema.enum is not None:
            return self._listed(schema)
        if schema.alternatives:
            return self._alternative(schema, depth)
        if schema.kind in CONSTANTS:
            return CONSTANTS[schema.kind]
        makers = {
            "object": self._object,
            "array": self._array,
            "integer": _whole,
            "number": _number,
        }
        return makers.get(schema.kind or "", self._string)(schema, depth)

    def _listed(self, schema: Schema) -> Any:
        """The constant, or the first of the listed values, that is of a type that is asked for."""
        listed = schema.enum if schema.const is UNSET else [schema.const]
        kinds = [schema.type] if isinstance(schema.type, str) else schema.type
        allowed = None if schema.enum is None else {_exactly(each) for each in schema.enum}
        for value in listed or ():
            self._spend(len(msgspec.json.encode(value)))
            if (kinds is None or any(_is_of(value, kind) for kind in kinds)) and (
                allowed is None or _exactly(value) in allowed
            ):
                return value
        message = "no listed value is of the type that the schema asks for"
        raise SchemaError(message)

    def _merged(self, schema: Any, depth: int) -> Schema:
        """A schema with its references and `allOf` taken in."""
        if depth <= 0:
            message = "the schema asks for a value without an end"
            raise SchemaError(message)
        self._spend(VALUE_WORK + members_of(schema))
        merged = read_schema(schema)
        parts = merged.all_of or []
        if merged.reference is not None:
            parts = [*parts, self._referred(merged.reference)]
        merged.all_of = merged.reference = None
        for part in parts:
            other = self._merged(part, depth - 1)
            self._spend(merged.size + other.size)
            merged.take(other)
        return merged

    def _referred(self, reference: str) -> Any:
        name = reference[:NAME_CHARACTERS_MAX]
        if reference in self._within:
            message = f"$ref {name!r} leads back to itself without an end"
            raise SchemaError(message)
        if not reference.startswith("#"):
            message = f"$ref {name!r} is outside the schema"
            raise SchemaError(message)
        found: Any = self._root
        for part in reference[1:].split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if not isinstance(found, dict) or key not in found:
                message = f"$ref {name!r} leads nowhere"
                raise SchemaError(message)
            found = found[key]
        self._within.append(reference)
        return found

    def _alternative(self, schema: Schema, depth: int) -> Any:
        """The first alternative of which there is a value."""
        problem = SchemaError("there is no alternative")
        for each in schema.alternatives[:ITEMS_MAX]:
            within = len(self._within)
            rest = copy(schema)
            rest.any_of = rest.one_of = None
            try:
                other = self._merged(each, depth - 1)
                self._spend(rest.size + other.size)
                rest.take(other)
                return self._fitting(rest, depth - 1)
            except SchemaError as error:
                problem = error
            finally:
                del self._within[within:]
        raise problem

    def _object(self, schema: Schema, depth: int) -> dict[str, Any]:
        properties = schema.properties or {}
        names = schema.required or (list(properties) if schema.min_properties else [])
        more = True if schema.additional_properties is UNSET else schema.additional_properties
        made: dict[str, Any] = {}
        for name in names:
            self._spend(len(name))
            if name not in properties and schema.pattern_properties:
                message = "the keyword 'patternProperties' is not honoured for required names"
                raise SchemaError(message)
            made[name] = self._of(properties.get(name, more), depth - 1)
        least = schema.min_properties or 0
        if least > ITEMS_MAX:
            message = f"minProperties is at most {ITEMS_MAX} here"
            raise SchemaError(message)
        while len(made) < least:
            made[f"member{len(made) + 1}"] = self._of(more, depth - 1)
        return made

    def _array(self, schema: Schema, depth: int) -> list[Any]:
        least = schema.min_items or 0
        if least > ITEMS_MAX:
            message = f"minItems is at most {ITEMS_MAX} here"
            raise SchemaError(message)
        if schema.max_items == 0:
            return []
        made = [self._of(each, depth - 1) for each in schema.prefix_items or ()]
        item = True if schema.items is UNSET else schema.items
        while len(made) < least:
            made.append(self._of(item, depth - 1))
        if not made and schema.min_items is None and schema.items is not UNSET:
            # One item shows what a list holds, where there can be one.
            made = self._one(item, depth)
        if schema.unique_items and len({_exactly(each) for each in made}) < len(made):
            message = "uniqueItems asks for more different values than are made here"
            raise SchemaError(message)
        return made

    def _one(self, item: Any, depth: int) -> list[Any]:
        try:
            return [self._of(item, depth - 1)]
        except SchemaError:
            return []

    def _string(self, schema: Schema, _: int) -> str:
        if schema.pattern is not None:
            try:
                text = text_matching(schema.pattern)
            except PatternError as error:
                raise SchemaError(str(error)) from None
            most = math.inf if schema.max_length is None else schema.max_length
            if not (schema.min_length or 0) <= len(text) <= most:
                message = "pattern and the limits of length are not honoured together"
                raise SchemaError(message)
        else:
            least = schema.min_length or 0
            if least > TEXT_CHARACTERS_MAX:
                message = f"minLength is at most {TEXT_CHARACTERS_MAX} here"
                raise SchemaError(message)
            text = FORMATS.get(schema.format or "", self._text).ljust(least, ".")
            if schema.max_length is not None and schema.max_length >= 0:
                text = text[: schema.max_length]
        self._spend(len(text))
        return text


def _exactly(value: Any) -> bytes:
    """What tells two values apart."""
    return msgspec.json.encode(value, order="sorted")


def _is_of(value: Any, kind: str) -> bool:
    """Whether a value is of a type of JSON Schema."""
    if isinstance(value, bool) or value is None:
        return kind == ("null" if value is None else "boolean")
    if isinstance(value, int | float):
        return kind == "number" or (kind == "integer" and value == int(value))
    if isinstance(value, str):
        return kind == "string"
    return kind == ("array" if isinstance(value, list) else "object")


def _whole(schema: Schema, _: int) -> int:
    return int(_nearest(schema, schema.multiple_of or 1))


def _number(schema: Schema, _: int) -> int | float:
    return _nearest(schema, schema.multiple_of)


def _nearest(schema: Schema, step: float | None) -> int | float:
    """The number nearest to 1 that the limits allow; raises SchemaError."""
    try:
        value = _within_limits(schema, step)
    except (OverflowError, ZeroDivisionError):
        value = None
    if value is None:
        message = "no number lies within the schema's limits"
        raise SchemaError(message)
    return value


def _within_limits(schema: Schema, step: float | None) -> int | float | None:
    above, below = schema.exclusive_minimum, schema.exclusive_maximum
    unit = step or 0.5
    least = -math.inf if schema.minimum is None else schema.minimum
    most = math.inf if schema.maximum is None else schema.maximum
    if above is not None:
        least = max(least, above + unit)
    if below is not None:
        most = min(most, below - unit)
    value = min(max(1, least), most)
    if step:
        # In exact fractions: 1.13 is a multiple of 0.01.
        exact, unit_exact = Fraction(str(value)), Fraction(str(step))
        steps = math.ceil(exact / unit_exact)
        if steps * unit_exact > Fraction(str(most if math.isfinite(most) else value + step)):
            steps = math.floor(Fraction(str(most)) / unit_exact)
        multiple = steps * unit_exact
        value = int(multiple) if multiple.denominator == 1 else float(multiple)
    if least <= value <= most and math.isfinite(value):
        return value
    if step or above is None or below is None or above >= below:
        return None
    return (above + below) / 2
