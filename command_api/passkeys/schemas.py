"""Bodies of the routes; what a browser's credential holds is the WebAuthn library's to read."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Password = Annotated[str, msgspec.Meta(max_length=1_000)]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class Ask(msgspec.Struct, frozen=True):
    """`POST /auth/passkeys/register/options`: what shows that it is the owner who asks."""

    password: Password | None = None
    code: Code | None = None


class Register(msgspec.Struct, frozen=True):
    """`POST /auth/passkeys/register`."""

    credential: dict[str, Any]
    name: Name = "Passkey"


class SignInWith(msgspec.Struct, frozen=True):
    """`POST /auth/passkeys/login`."""

    credential: dict[str, Any]


class Rename(msgspec.Struct, frozen=True):
    """`PUT /auth/passkeys/{passkey_id}`."""

    name: Name


decode_ask = msgspec.json.Decoder(Ask).decode
decode_register = msgspec.json.Decoder(Register).decode
decode_sign_in = msgspec.json.Decoder(SignInWith).decode
decode_rename = msgspec.json.Decoder(Rename).decode
