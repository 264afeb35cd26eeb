"""Bodies of the routes."""

from __future__ import annotations

from typing import Annotated

import msgspec

NAMES_MAX = 100
_Names = Annotated[
    list[Annotated[str, msgspec.Meta(max_length=256)]], msgspec.Meta(max_length=NAMES_MAX)
]


class CheckAsked(msgspec.Struct, frozen=True):
    """POST /health/check; what is named nowhere is all providers."""

    models: _Names | None = None
    providers: _Names | None = None
    gateways: _Names | None = None
    force_refresh: bool = False


_decode = msgspec.json.Decoder(CheckAsked).decode


def decode_check(raw: bytes) -> CheckAsked:
    """An empty body asks for nothing in particular."""
    return _decode(raw or b"{}")
