"""Settings of mails and of signing in."""

from __future__ import annotations

from pydantic import Field

from command_api.settings.group import Group


class MailSettings(Group):
    """Who carries mails; without any of it they are files in the home's `mail`."""

    sender: str = Field(
        "Gatewayz <no-reply@localhost>",
        alias="GATEWAYZ_MAIL_FROM",
        description="Whom mails are from.",
    )
    smtp_url: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_SMTP_URL",
        description="Mail server: `smtp://USER:PASSWORD@HOST:PORT` (STARTTLS where it is offered) "
        "or `smtps://…`.",
    )
    resend_api_key: str | None = Field(
        None,
        repr=False,
        alias="GATEWAYZ_RESEND_API_KEY",
        description="Key of Resend, which then carries the mails.",
    )
    public_url: str | None = Field(
        None,
        alias="GATEWAYZ_PUBLIC_URL",
        description="Where people find the pages that mails link to; else mails hold the token "
        "alone. Links are never made from a request's headers.",
    )


class SignInSettings(Group):
    """Passwords, sessions, and how often one may try."""

    access_token_s: int = Field(
        900,
        ge=30,
        le=86_400,
        alias="GATEWAYZ_ACCESS_TOKEN_S",
        description="Life of an access token, seconds.",
    )
    session_days: int = Field(
        30,
        ge=1,
        le=365,
        alias="GATEWAYZ_SESSION_DAYS",
        description="Life of a session that is not used, days.",
    )
    registrations_per_hour: int = Field(
        10,
        ge=1,
        alias="GATEWAYZ_REGISTRATIONS_PER_HOUR",
        description="Most registrations from one address of the network (IPv6: /64) in an hour.",
    )
    password_threads: int = Field(
        2,
        ge=1,
        le=32,
        alias="GATEWAYZ_PASSWORD_THREADS",
        description="Passwords hashed at once in a process; each takes 19 MiB and some 30 ms of "
        "a core.",
    )
