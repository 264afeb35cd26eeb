"""Bodies of the routes. Members that are not named here are ignored, as older clients expect."""

from __future__ import annotations

from typing import Annotated

import msgspec

TEXT_MAX = 320
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=TEXT_MAX)]
Password = Annotated[str, msgspec.Meta(max_length=1_000)]
TOKEN_MAX = 500
Token = Annotated[str, msgspec.Meta(min_length=1, max_length=TOKEN_MAX)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]


class Register(msgspec.Struct, frozen=True):
    """`POST /auth/register` and `/create`."""

    email: Text
    username: Name | None = None
    password: Password | None = None
    auth_method: Text = "email"
    environment_tag: Text = "live"
    key_name: Name = "Primary Key"
    referral_code: Annotated[str, msgspec.Meta(max_length=100)] | None = None


class Login(msgspec.Struct, frozen=True):
    """`POST /auth/login`."""

    email: Text
    password: Password


class RefreshToken(msgspec.Struct, frozen=True):
    """`POST /auth/refresh`."""

    refresh_token: Token


class MailedToken(msgspec.Struct, frozen=True):
    """`POST /auth/verify-email`."""

    token: Token


class NewPassword(msgspec.Struct, frozen=True):
    """`POST /auth/reset-password`."""

    token: Token
    password: Password


class ChangePassword(msgspec.Struct, frozen=True):
    """`POST /auth/change-password`."""

    current_password: Password
    new_password: Password


decode_register = msgspec.json.Decoder(Register).decode
decode_login = msgspec.json.Decoder(Login).decode
decode_refresh = msgspec.json.Decoder(RefreshToken).decode
decode_mailed = msgspec.json.Decoder(MailedToken).decode
decode_reset = msgspec.json.Decoder(NewPassword).decode
decode_change = msgspec.json.Decoder(ChangePassword).decode
