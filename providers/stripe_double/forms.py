"""Stripe's way of writing nested parameters in a form: `metadata[order]=1&items[0][price]=p`."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl

FIELDS_MAX = 1_000
DEPTH_MAX = 8
_PARTS = re.compile(r"\[([^\[\]]*)\]")


class FormError(ValueError):
    """The form is none."""


def read_form(raw: bytes) -> dict[str, Any]:
    """The parameters of a body or a query; raises FormError."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX)
    except ValueError as error:
        raise FormError(str(error)) from None
    found: dict[str, Any] = {}
    for name, value in pairs:
        head, bracket, rest = name.partition("[")
        path = [head, *_PARTS.findall(bracket + rest)]
        if len(path) > DEPTH_MAX:
            message = f"{name[:100]} is nested too deeply"
            raise FormError(message)
        _put(found, path, value)
    return {name: _listed(value) for name, value in found.items()}


def _put(into: dict[str, Any], path: list[str], value: str) -> None:
    for part in path[:-1]:
        below = into.setdefault(part, {})
        if not isinstance(below, dict):
            message = f"{part} is both a value and an object"
            raise FormError(message)
        into = below
    last = path[-1] or str(len(into))
    into[last] = value


def _listed(value: Any) -> Any:
    """Objects whose members are numbers from 0 are lists."""
    if not isinstance(value, dict):
        return value
    inner = {name: _listed(each) for name, each in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
