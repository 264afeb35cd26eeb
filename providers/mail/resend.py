"""Mails by Resend (https://resend.com/docs/api-reference/emails/send-email)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx

from providers.fetching.tls import authorities
from providers.mail.port import (
    SEND_TIMEOUT_S,
    MailRefusedError,
    MailUnavailableError,
    message_of,
)

if TYPE_CHECKING:
    from providers.mail.port import Mail

URL = "https://api.resend.com"
PASSING = frozenset({401, 403, 408, 409, 425, 429})
"""Refusals that may be over later: of our key, of our rate, of the moment."""
SERVER_ERROR = 500


class ResendMailer:
    """Sends each mail with one request."""

    def __init__(self, api_key: str, sender: str, url: str = URL) -> None:
        """Nothing is connected before the first mail."""
        self._sender = sender
        headers = {"authorization": f"Bearer {api_key}"}
        self._client = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=SEND_TIMEOUT_S, verify=authorities()
        )

    async def send(self, mail: Mail) -> None:
        """Hand it over; raises MailRefusedError or MailUnavailableError, without the address."""
        message_of(mail, self._sender, datetime.now(UTC))  # It refuses what breaks a header.
        body = {
            "from": self._sender,
            "to": [mail.recipient],
            "subject": mail.subject,
            "text": mail.text,
        }
        try:
            answer = await self._client.post("/emails", json=body)
        except httpx.HTTPError as error:
            message = f"Resend cannot be reached: {type(error).__name__}"
            raise MailUnavailableError(message) from None
        if answer.is_success:
            return
        message = f"Resend answers {answer.status_code}"
        if answer.status_code >= SERVER_ERROR or answer.status_code in PASSING:
            raise MailUnavailableError(message)
        raise MailRefusedError(message)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()
