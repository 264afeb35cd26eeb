"""Bodies of the routes. Members that are not named here are ignored, as older clients expect."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

TEXT_MAX = 320
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]


class ChangeProfile(msgspec.Struct, frozen=True, omit_defaults=True):
    """`PUT /user/profile`; what is absent stays."""

    name: Text | None = None
    email: Text | None = None
    preferences: dict[str, Any] | None = None
    settings: dict[str, Any] | None = None


class Leave(msgspec.Struct, frozen=True):
    """`DELETE /user/account`."""

    confirmation: Literal["DELETE_ACCOUNT"]


decode_change = msgspec.json.Decoder(ChangeProfile).decode
decode_leave = msgspec.json.Decoder(Leave).decode
