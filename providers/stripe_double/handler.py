"""Requests to the double as `http.server` hands them over."""

from __future__ import annotations

import json
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from providers.stripe_double.api import Answer, Asked
from providers.stripe_double.billing.sessions import PORTAL
from providers.stripe_double.checkout import PAGES
from providers.stripe_double.errors import Refused
from providers.stripe_double.forms import FormError, read_form
from providers.stripe_double.page import page

if TYPE_CHECKING:
    import socket

    from providers.stripe_double.server import StripeDouble

BODY_BYTES_MAX = 262_144
TIMEOUT_S = 30


class Outage(StrEnum):
    """How the double can be away."""

    NONE = ""
    REFUSED = "refused"
    """It answers 503."""
    SILENT = "silent"
    """It hangs up before it does anything."""
    LOST = "lost"
    """It does what it is asked, and hangs up before it answers."""


class Server(ThreadingHTTPServer):
    """Listens for the double, a thread for each connection."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, double: StripeDouble, listener: socket.socket) -> None:
        """On a socket that listens already."""
        super().__init__(listener.getsockname()[:2], Handler, bind_and_activate=False)
        self.double = double
        self.socket.close()
        self.socket = listener

    def handle_error(self, *_: object) -> None:
        """Who hangs up is not worth a line."""


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S

    def do_GET(self) -> None:
        """A page, or the API."""
        parts = urlsplit(self.path)
        if parts.path.startswith(PAGES):
            self._page(parts.path.removeprefix(PAGES))
        elif parts.path.startswith(PORTAL):
            self._portal(parts.path, act=False)
        else:
            self._api(b"")

    def do_POST(self) -> None:
        """A page's form, or the API."""
        length = self.headers.get("content-length", "0")
        if not length.isdigit() or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self._send(413, b"{}")
            return
        body = self.rfile.read(int(length))
        path = urlsplit(self.path).path
        if path.startswith(PAGES):
            self._pay(path, body)
        elif path.startswith(PORTAL):
            self._portal(path, act=True)
        else:
            self._api(body)

    def do_DELETE(self) -> None:
        """The API."""
        self._api(b"")

    def _portal(self, path: str, *, act: bool) -> None:
        double = self.server.double
        try:
            with double.shelf.act():
                page_ = double.api.billing.portal(path.removeprefix(PORTAL), act=act)
        except Refused as error:
            self._send(error.status, json.dumps(error.body).encode())
        else:
            self._send(200, page_, content_type="text/html; charset=utf-8")

    def _api(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        if self.server.double.outage is Outage.SILENT:
            self.close_connection = True
            return
        if self.server.double.outage is Outage.REFUSED:
            self._send(503, b'{"error": {"type": "api_error", "message": "away"}}')
            return
        header = self.headers.get
        asked = Asked(
            self.command,
            parts.path,
            parts.query,
            body,
            header("authorization", ""),
            header("idempotency-key"),
        )
        answer = self.server.double.api.answer(asked)
        if self.server.double.outage is Outage.LOST:
            self.close_connection = True
            return
        self._answer(answer)

    def _answer(self, answer: Answer) -> None:
        more = {"idempotent-replayed": "true"} if answer.replayed else {}
        self._send(answer.status, answer.body, **more)

    def _pay(self, path: str, body: bytes) -> None:
        as_json = "json" in self.headers.get("content-type", "") or body.startswith(b"{")
        try:
            asked = json.loads(body) if as_json else read_form(body)
        except (ValueError, RecursionError, FormError):
            asked = None
        if not isinstance(asked, dict):
            self._send(400, b'{"error": {"message": "no JSON object"}}')
            return
        status, said = self.server.double.pay(path, asked)
        if as_json:
            self._send(status, json.dumps(said).encode())
        elif said.get("redirect"):
            self._send(303, b"", location=said["redirect"])
        else:
            text = said.get("error", {}).get("message", "")
            ask = said.get("status") == "requires_action"
            self._page(path.removeprefix(PAGES).partition("/")[0], text, ask=ask)

    def _page(self, name: str, said: str = "", *, ask: bool = False) -> None:
        try:
            with self.server.double.shelf.act():
                session = self.server.double.api.checkout.found(name)
        except Refused as error:
            self._send(error.status, json.dumps(error.body).encode())
            return
        self._send(200, page(session, said, ask=ask), content_type="text/html; charset=utf-8")

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        given = {"content_type": "application/json", **headers}
        self.send_response(status)
        for name, value in given.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing."""
