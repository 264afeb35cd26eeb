"""Bodies of the routes. Members that are not named here are ignored, as older clients expect."""

from __future__ import annotations

from typing import Annotated

import msgspec

Password = Annotated[str, msgspec.Meta(max_length=1_000)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Proof(msgspec.Struct, frozen=True):
    """What shows that it is the owner who asks: the present password, or a code."""

    password: Password | None = None
    code: Code | None = None


class Confirm(msgspec.Struct, frozen=True):
    """`POST /auth/totp/confirm`."""

    code: Code


class SecondStepOf(msgspec.Struct, frozen=True):
    """`POST /auth/login/second-step`."""

    second_step_token: Token
    code: Code


decode_proof = msgspec.json.Decoder(Proof).decode
decode_confirm = msgspec.json.Decoder(Confirm).decode
decode_second_step = msgspec.json.Decoder(SecondStepOf).decode
