"""Bodies of the routes."""

from __future__ import annotations

from typing import Annotated

import msgspec

BODY_BYTES_MAX = 16_384
CODE_CHARACTERS_MAX = 100
"""Of any text that is shown as a code; the domain says what a code is."""


class Shown(msgspec.Struct, frozen=True):
    """POST /referral/validate and /referral/claim."""

    referral_code: Annotated[str, msgspec.Meta(max_length=CODE_CHARACTERS_MAX)]


decode_shown = msgspec.json.Decoder(Shown).decode
