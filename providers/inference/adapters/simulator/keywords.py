"""The keywords of a JSON Schema that decide about an example, checked as they are read."""

from __future__ import annotations

from typing import Any

import msgspec

NAME_CHARACTERS_MAX = 100
"""So much of what is wrong is repeated in a message."""
UNSET = msgspec.UNSET


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
        if self.required and other.required:
            self.required = [*self.required, *other.required]
        for name in self.__struct_fields__:
            mine, theirs = getattr(self, name), getattr(other, name)
            # A constant may be null; whatever else is None is absent.
            if mine is UNSET or (mine is None and theirs is not UNSET):
                setattr(self, name, theirs)

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
