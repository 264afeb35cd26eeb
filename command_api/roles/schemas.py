"""The body of a change of role."""

from __future__ import annotations

import msgspec


class RoleUpdate(msgspec.Struct, frozen=True):
    """`reason` may be left out, as older clients do; the audit then says that none was given."""

    user_id: str
    new_role: str
    reason: str | None = None


decode_update = msgspec.json.Decoder(RoleUpdate).decode
