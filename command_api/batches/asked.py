"""What a body asks of a batch that is to be made, member by member."""

from __future__ import annotations

from typing import Any

import msgspec

from command_api.files.uploads import EXPIRES_S_MAX, expiry_of
from edge.body import decode_members
from edge.errors import bad_request

WINDOW = "24h"
PAIRS_MAX, NAME_MAX, VALUE_MAX = 16, 64, 512
"""As OpenAI's `Metadata` has them."""
SHOWN_CHARACTERS = 64


class Expiry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """OpenAI's `BatchFileExpirationAfter`."""

    anchor: str
    seconds: int


class Asked(msgspec.Struct, frozen=True):
    """The body of a batch that is to be made."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: dict[str, Any] | None = None
    output_expires_after: Expiry | None = None


_decode = msgspec.json.Decoder(Asked).decode


def decode_asked(raw: bytes) -> Asked:
    """The body as it is asked; raises ApiError 400 for a member that nobody knows."""
    asked = _decode(raw)
    for name in decode_members(raw):
        if name not in Asked.__struct_fields__:
            shown = name[:SHOWN_CHARACTERS]
            there = ", ".join(Asked.__struct_fields__)
            message = f"Unknown parameter: {shown!r}. There are: {there}."
            raise bad_request("unknown_parameter", message, shown)
    return asked


def metadata_of(asked: Asked) -> dict[str, str] | None:
    """The pairs, as many and as long as they may be; raises ApiError 400 that names one."""
    pairs = asked.metadata
    if pairs is None:
        return None
    if len(pairs) > PAIRS_MAX:
        message = f"metadata holds at most {PAIRS_MAX} pairs, and has {len(pairs)}."
        raise bad_request("invalid_value", message, "metadata")
    for name, value in pairs.items():
        param = f"metadata[{name[:SHOWN_CHARACTERS]}]"
        if len(name) > NAME_MAX:
            message = f"A name in metadata has at most {NAME_MAX} characters, not {len(name)}."
            raise bad_request("invalid_value", message, param)
        if not isinstance(value, str):
            message = f"{param} must be a string."
            raise bad_request("invalid_type", message, param)
        if len(value) > VALUE_MAX:
            message = f"{param} must have at most {VALUE_MAX} characters, not {len(value)}."
            raise bad_request("invalid_value", message, param)
    return pairs


def expires_s_of(asked: Asked) -> int:
    """How long what comes out is kept, seconds; raises ApiError 400."""
    after = asked.output_expires_after
    if after is None:
        return EXPIRES_S_MAX
    return expiry_of(after.anchor, after.seconds, "output_expires_after")
