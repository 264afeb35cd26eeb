"""The keywords of a JSON Schema that decide about an example, checked as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NAME_CHARACTERS_MAX = 100
"""So much of what is wrong is repeated in a message."""
UNSET = msgspec.UNSET


NOT_HONOURED = {
    "not_": "not",
    "if_": "if",
    "contains": "contains",
    "dependent_required": "dependentRequired",
    "dependent_schemas": "dependentSchemas",
    "property_names": "propertyNames",
}
"""Keywords that a value would have to be tried against: a schema with one is refused by name."""
TIGHTER: dict[str, Callable[[Iterable[Any]], Any]] = {
    **dict.fromkeys(("minimum", "exclusive_minimum", "min_items", "min_length"), max),
    **dict.fromkeys(("maximum", "exclusive_maximum", "max_items", "max_length"), min),
    "min_properties": max,
}
"""Which of two limits on the same value counts."""


class SchemaError(ValueError):
    """No value can be made; the message says which part of the schema is to blame."""


class Schema(msgspec.Struct, rename="camel", kw_only=True):
    """One schema object; what it does not name is as JSON Schema has it (draft 2020-12)."""

    reference: str | None = msgspec.field(name="$ref", default=None)
    all_of: list[Any] | None = None
    any_of: list[Any] | None = None
    one_of: list[Any] | None = None
    const: Any = UNSET
    enum: list[Any] | None = None
    type: str | list[str] | None = None
    properties: dict[str, Any] | None = None
    required: list[str] | None = None
    min_properties: int | None = None
    additional_properties: Any = UNSET
    items: Any = UNSET
    prefix_items: list[Any] | None = None
    min_items: int | None = None
    max_items: int | None = None
    pattern: str | None = None
    format: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    exclusive_minimum: int | float | None = None
    exclusive_maximum: int | float | None = None
    multiple_of: int | float | None = None
    unique_items: bool | None = None
    not_: Any = msgspec.field(name="not", default=UNSET)
    if_: Any = msgspec.field(name="if", default=UNSET)
    contains: Any = UNSET
    dependent_required: Any = UNSET
    dependent_schemas: Any = UNSET
    property_names: Any = UNSET
    pattern_properties: dict[str, Any] | None = None

    @property
    def not_honoured(self) -> str | None:
        """A keyword that is there and that no value is made by."""
        for name, keyword in NOT_HONOURED.items():
            if getattr(self, name) is not UNSET:
                return keyword
        return None

    @property
    def alternatives(self) -> list[Any]:
        """Of which one must fit."""
        return self.any_of or self.one_of or []

    @property
    def kind(self) -> str | None:
        """The type that a value shall have; of several the first that is not null."""
        if isinstance(self.type, list):
            return next((each for each in self.type if each != "null"), "null")
        if self.type is not None:
            return self.type
        if self.properties is not None or self.required is not None:
            return "object"
        if self.items is not UNSET:
            return "array"
        return None if self.pattern is None and self.format is None else "string"

    def take(self, other: Schema) -> None:
        """Add what another schema says of the same value; where both speak, this one counts."""
        self.properties = _both(other.properties, self.properties)
        if self.enum is not None and other.enum is not None:
            theirs = {msgspec.json.encode(each) for each in other.enum}
            self.enum = [each for each in self.enum if msgspec.json.encode(each) in theirs]
        for bound, tighter in TIGHTER.items():
            both = (getattr(self, bound), getattr(other, bound))
            if None not in both:
                setattr(self, bound, tighter(both))
        if self.required and other.required:
            self.required = [*self.required, *other.required]
        for name in self.__struct_fields__:
            mine, others = getattr(self, name), getattr(other, name)
            # A constant may be null; whatever else is None is absent.
            if mine is UNSET or (mine is None and others is not UNSET):
                setattr(self, name, others)

    @property
    def size(self) -> int:
        """How much is copied when two are made one."""
        return len(self.properties or ()) + len(self.required or ())


def _both(first: dict[str, Any] | None, last: dict[str, Any] | None) -> dict[str, Any] | None:
    return {**first, **last} if first and last else last or first


def members_of(schema: Any) -> int:
    """How much there is to read of a schema object, without what lies deeper."""
    if not isinstance(schema, dict):
        return 1
    return len(schema) + sum(len(v) for v in schema.values() if isinstance(v, list | dict))


def read_schema(schema: Any) -> Schema:
    """Read one schema object, or `true`; raises SchemaError, which names what is wrong."""
    if schema is True:
        return Schema()
    if not isinstance(schema, dict):
        message = f"{schema!r} allows no value" if schema is False else "a schema is an object"
        raise SchemaError(message)
    try:
        return msgspec.convert(schema, Schema)
    except msgspec.ValidationError as error:
        message = f"the schema cannot be read: {str(error)[:NAME_CHARACTERS_MAX]}"
        raise SchemaError(message) from None
