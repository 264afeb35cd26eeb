"""Bodies of the routes. A member that nobody knows is refused: none chooses a host."""

from __future__ import annotations

from typing import Annotated

import msgspec

BODY_BYTES_MAX = 8_192
TEXT_MAX = 4_096
Text = Annotated[str, msgspec.Meta(max_length=TEXT_MAX)]


class StoreKey(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /user/provider-keys`."""

    provider: Text
    key: Text
    label: Text = ""
    project_id: Text | None = None
    enabled: bool = True
    fallback: bool = False

    def __repr__(self) -> str:
        """Without the key."""
        return f"StoreKey({self.provider!r})"


class ChangeKey(msgspec.Struct, forbid_unknown_fields=True):
    """`PATCH /user/provider-keys/{id}`; what is left out stays."""

    key: Text | None = None
    label: Text | None = None
    enabled: bool | None = None
    fallback: bool | None = None

    def __repr__(self) -> str:
        """Without the key."""
        return "ChangeKey()"


decode_store = msgspec.json.Decoder(StoreKey).decode
decode_change = msgspec.json.Decoder(ChangeKey).decode
