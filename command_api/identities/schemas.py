"""Bodies of the routes. Members that are not named here are ignored, as older clients expect."""

from __future__ import annotations

from typing import Annotated

import msgspec

from providers.login.tokens import TOKEN_CHARACTERS_MAX

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=320)]
PrivyToken = Annotated[str, msgspec.Meta(max_length=TOKEN_CHARACTERS_MAX)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class PrivyLogin(msgspec.Struct, frozen=True):
    """`POST /auth`. What it says of the user is not read: the token says that, or nobody does."""

    token: PrivyToken
    email: Text | None = None
    referral_code: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class Exchange(msgspec.Struct, frozen=True):
    """`POST /auth/login/exchange`."""

    login_code: Code


decode_privy = msgspec.json.Decoder(PrivyLogin).decode
decode_exchange = msgspec.json.Decoder(Exchange).decode
