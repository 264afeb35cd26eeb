"""Mails by SMTP (RFC 5321), with TLS from the start or by STARTTLS."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import aiosmtplib

from providers.mail.port import (
    SEND_TIMEOUT_S,
    MailRefusedError,
    MailUnavailableError,
    message_of,
)

if TYPE_CHECKING:
    from providers.mail.port import Mail

PERMANENT = range(500, 600)
"""Replies after which trying again is no use (RFC 5321, 4.2.1)."""
PORTS = {"smtp": 587, "smtps": 465}


class SmtpMailer:
    """Sends each mail on a connection of its own: there are few."""

    def __init__(self, url: str, sender: str) -> None:
        """`smtp://user:password@host:port` (STARTTLS where it is offered) or `smtps://…`.

        Raises ValueError, which does not repeat the URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            message = "the mail server is named smtp://USER:PASSWORD@HOST:PORT, or smtps://…"
            raise ValueError(message)
        self._sender = sender
        self._server: dict[str, Any] = {
            "hostname": parts.hostname,
            "port": parts.port or PORTS[parts.scheme],
            "use_tls": parts.scheme == "smtps",
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "timeout": SEND_TIMEOUT_S,
        }

    async def send(self, mail: Mail) -> None:
        """Hand it over; raises MailRefusedError or MailUnavailableError, without the address."""
        message = message_of(mail, self._sender, datetime.now(UTC))
        try:
            await aiosmtplib.send(message, **self._server)
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = "the mail server refuses the recipient"
            if all(each.code in PERMANENT for each in error.recipients):
                raise MailRefusedError(refused) from None
            raise MailUnavailableError(refused) from None
        except aiosmtplib.SMTPResponseException as error:
            said = f"the mail server answers {error.code}"
            if error.code in PERMANENT and not isinstance(
                error, aiosmtplib.SMTPAuthenticationError
            ):
                raise MailRefusedError(said) from None
            raise MailUnavailableError(said) from None
        except (aiosmtplib.SMTPException, OSError) as error:
            away = f"the mail server cannot be reached: {type(error).__name__}"
            raise MailUnavailableError(away) from None

    async def close(self) -> None:
        """Nothing stays open."""
