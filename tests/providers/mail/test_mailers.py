"""Each way out for mails, against a server that is really there."""

from __future__ import annotations

import asyncio
import email
import json
import socket
import threading
from email import policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from aiosmtpd.controller import Controller

from providers.mail.folder import FILES_MAX, FolderMailer
from providers.mail.port import (
    TEXT_CHARACTERS_MAX,
    Mail,
    MailRefusedError,
    MailUnavailableError,
)
from providers.mail.resend import ResendMailer
from providers.mail.smtp import SmtpMailer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SENDER = "Gatewayz <no-reply@gatewayz.example>"
MAIL = Mail("ann@example.com", "Verify your address — now", "Token:\n\nabc\n")


class Inbox:
    """What an SMTP server took; it answers RCPT as it is told."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_RCPT(self, _: Any, __: Any, envelope: Any, address: str, ___: Any) -> str:  # noqa: N802
        """Called by aiosmtpd."""
        if self.answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:  # noqa: N802
        """Called by aiosmtpd."""
        read = email.message_from_bytes(
            envelope.content, _class=EmailMessage, policy=policy.default
        )
        self.mails.append(read)
        return "250 OK"


@pytest.fixture
def smtp() -> Iterator[tuple[str, Inbox]]:
    """An SMTP server on loopback: its URL, and what it took."""
    inbox = Inbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    controller = Controller(inbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield f"smtp://127.0.0.1:{port}", inbox
    finally:
        controller.stop()


def test_a_mail_goes_out_by_smtp(smtp: tuple[str, Inbox]) -> None:
    """It arrives whole: sender, recipient, subject, text (rule: contract)."""
    url, inbox = smtp
    asyncio.run(SmtpMailer(url, SENDER).send(MAIL))
    (got,) = inbox.mails
    assert (got["to"], got["from"], got["subject"]) == (MAIL.recipient, SENDER, MAIL.subject)
    assert got.get_content().replace("\r\n", "\n") == MAIL.text
    assert "gatewayz.example" in got["message-id"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [("550 no such user", MailRefusedError), ("451 later", MailUnavailableError)],
)
def test_what_the_server_says_decides_whether_it_is_tried_again(
    smtp: tuple[str, Inbox], answer: str, error: type[Exception]
) -> None:
    """5xx is for good, 4xx for now; the address is in neither message (P5)."""
    url, inbox = smtp
    inbox.answer = answer
    with pytest.raises(error) as refused:
        asyncio.run(SmtpMailer(url, SENDER).send(MAIL))
    assert MAIL.recipient not in str(refused.value)


def test_a_server_that_is_away_is_said_to_be() -> None:
    """Nobody listens there (rule: refuse clearly)."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(MailUnavailableError, match="cannot be reached"):
        asyncio.run(SmtpMailer(f"smtp://127.0.0.1:{port}", SENDER).send(MAIL))


@pytest.mark.parametrize("url", ["", "http://x", "smtp://:25", "mail.example.com:25"])
def test_a_url_that_names_no_mail_server_is_refused_without_repeating_it(url: str) -> None:
    """A password may stand in it (P5)."""
    with pytest.raises(ValueError, match="mail server is named") as refused:
        SmtpMailer(url, SENDER)
    assert not url or url not in str(refused.value)


@pytest.mark.parametrize(
    "mail",
    [
        MAIL._replace(recipient="ann@example.com\r\nBcc: all@example.com"),
        MAIL._replace(subject="a\nBcc: all@example.com"),
        MAIL._replace(text="x" * (TEXT_CHARACTERS_MAX + 1)),
        MAIL._replace(subject="x" * 300),
    ],
)
def test_what_would_break_the_header_is_refused(tmp_path: Path, mail: Mail) -> None:
    """No line of a caller's becomes a header (rule: bounded)."""
    with pytest.raises(MailRefusedError):
        asyncio.run(FolderMailer(tmp_path, SENDER).send(mail))
    assert list(tmp_path.iterdir()) == []


def test_the_folder_keeps_whole_mails_and_only_so_many(tmp_path: Path) -> None:
    """Each is a file that a mail program opens; of too many the oldest go (rule: bounded)."""
    folder = tmp_path / "mail"
    folder.mkdir()
    for number in range(FILES_MAX):
        (folder / f"20200101T{number:06}-x.eml").write_bytes(b"old")
    asyncio.run(FolderMailer(folder, SENDER).send(MAIL))
    files = sorted(folder.iterdir())
    assert len(files) == FILES_MAX
    read = email.message_from_bytes(files[-1].read_bytes(), policy=policy.default)
    assert (read["to"], read["subject"]) == (MAIL.recipient, MAIL.subject)
    assert files[-1].stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """It is tried again then (rule: refuse clearly)."""
    (tmp_path / "mail").write_text("a file")
    with pytest.raises(MailUnavailableError):
        asyncio.run(FolderMailer(tmp_path / "mail", SENDER).send(MAIL))


class Resend:
    """Resend's API on loopback: what it was sent, and its next status."""

    def __init__(self) -> None:
        self.status, self.sent = 200, list[tuple[dict[str, str], dict[str, Any]]]()
        resend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                resend.sent.append((dict(self.headers), json.loads(raw)))
                body = b'{"id": "1"}'
                self.send_response(resend.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        """End it."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def resend() -> Iterator[Resend]:
    """The API."""
    made = Resend()
    yield made
    made.close()


def _send(url: str) -> None:
    async def send() -> None:
        mailer = ResendMailer("re_key", SENDER, url)
        try:
            await mailer.send(MAIL)
        finally:
            await mailer.close()

    asyncio.run(send())


def test_a_mail_goes_out_by_resend(resend: Resend) -> None:
    """One request, with the key (rule: contract)."""
    _send(resend.url)
    ((headers, body),) = resend.sent
    assert {name.lower(): value for name, value in headers.items()}["authorization"] == (
        "Bearer re_key"
    )
    assert body == {
        "from": SENDER,
        "to": [MAIL.recipient],
        "subject": MAIL.subject,
        "text": MAIL.text,
    }


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (422, MailRefusedError),
        (429, MailUnavailableError),
        (401, MailUnavailableError),
        (500, MailUnavailableError),
    ],
)
def test_resends_refusals_are_told_apart(
    resend: Resend, status: int, error: type[Exception]
) -> None:
    """What may pass is tried again (rule: refuse clearly)."""
    resend.status = status
    with pytest.raises(error, match=str(status)):
        _send(resend.url)
