"""What a mail is, and what carries it."""

from __future__ import annotations

from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from datetime import datetime

SUBJECT_CHARACTERS_MAX = 200
TEXT_CHARACTERS_MAX = 20_000
SEND_TIMEOUT_S = 20.0
"""Longest time of one try, seconds."""


class Mail(NamedTuple):
    """One message to one person, as plain text."""

    recipient: str
    subject: str
    text: str


class MailRefusedError(Exception):
    """The mail will not be taken: trying again changes nothing."""


class MailUnavailableError(Exception):
    """Whoever carries mails is away: try again."""


class Mailer(Protocol):
    """Carries mails."""

    async def send(self, mail: Mail) -> None:
        """Hand one over; raises MailRefusedError or MailUnavailableError."""
        ...

    async def close(self) -> None:
        """Let go of what is open."""
        ...


def message_of(mail: Mail, sender: str, now: datetime) -> EmailMessage:
    """The message (RFC 5322). Raises MailRefusedError for what would break its header."""
    if len(mail.subject) > SUBJECT_CHARACTERS_MAX or len(mail.text) > TEXT_CHARACTERS_MAX:
        message = "the mail is longer than mails are here"
        raise MailRefusedError(message)
    written = EmailMessage(policy=SMTP)
    try:
        written["From"], written["To"] = sender, mail.recipient
        written["Subject"], written["Date"] = mail.subject, format_datetime(now)
        written["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2].strip("> ") or None)
    except ValueError as error:
        raise MailRefusedError(str(error)) from None
    written.set_content(mail.text)
    return written
