"""Bodies of the routes. A member that nobody knows is refused."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from domain.organisations.roles import MemberRole
from domain.quotas.terms import LIMIT_MAX, Unit
from domain.quotas.windows import UTC_NAME, Window

TEXT_MAX = 320
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]


class Named(msgspec.Struct, forbid_unknown_fields=True):
    """A new organisation or project, or another name of one."""

    name: Text


class Close(msgspec.Struct, forbid_unknown_fields=True):
    """`DELETE /organisations/{id}`."""

    confirmation: Literal["CLOSE_ORGANISATION"]


class Archive(msgspec.Struct, forbid_unknown_fields=True):
    """`DELETE /organisations/{id}/projects/{project_id}`."""

    confirmation: Literal["ARCHIVE_PROJECT"]


class Invite(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /organisations/{id}/invitations`."""

    email: Text
    role: MemberRole = MemberRole.DEVELOPER


class Appoint(msgspec.Struct, forbid_unknown_fields=True):
    """`PUT /organisations/{id}/members/{user_id}`."""

    role: MemberRole


class HandOver(msgspec.Struct, forbid_unknown_fields=True):
    """`POST /organisations/{id}/transfer`."""

    user_id: Text


class OfQuota(msgspec.Struct, forbid_unknown_fields=True):
    """`DELETE /organisations/{id}/projects/{project_id}/quotas`."""

    unit: Unit
    window: Window


class SetQuota(OfQuota, forbid_unknown_fields=True):
    """`PUT /organisations/{id}/projects/{project_id}/quotas`; money is in nano-USD."""

    limit: Annotated[int, msgspec.Meta(ge=0, le=LIMIT_MAX)]
    zone: Text = UTC_NAME


decode_named = msgspec.json.Decoder(Named).decode
decode_close = msgspec.json.Decoder(Close).decode
decode_archive = msgspec.json.Decoder(Archive).decode
decode_invite = msgspec.json.Decoder(Invite).decode
decode_appoint = msgspec.json.Decoder(Appoint).decode
decode_of_quota = msgspec.json.Decoder(OfQuota).decode
decode_set_quota = msgspec.json.Decoder(SetQuota).decode
decode_hand_over = msgspec.json.Decoder(HandOver).decode
