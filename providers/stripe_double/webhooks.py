"""Events, and their delivery as webhooks, signed as Stripe signs them.

The header holds the time and, for each secret, HMAC-SHA256 of `time.body`
(https://docs.stripe.com/webhooks/signature). What is not answered by 2xx is sent again.
"""

from __future__ import annotations

import hmac
import json
import logging
import secrets
import threading
import time
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from providers.stripe_double.shelf import Shelf

logger = logging.getLogger("gatewayz.stripe_double")

TIMEOUT_S = 10.0
REPLY_BYTES_MAX = 65_536
API_VERSION = "2026-08-26.dahlia"
POLL_S = 0.05
AT_ONCE = 50
WAITS_S = (0.2, 0.5, 1.0, 5.0, 30.0)
"""Between the tries of one webhook; the last goes on."""
TRIES_MAX = 500


def sign(body: bytes, secret: str, at: int) -> str:
    """The header `Stripe-Signature` of a body sent at a second of Unix time."""
    mac = hmac.digest(secret.encode(), b"%d." % at + body, "sha256").hex()
    return f"t={at},v1={mac}"


def new_id(prefix: str) -> str:
    """An id as Stripe writes it."""
    return f"{prefix}_{secrets.token_hex(12)}"


@dataclass
class Misbehaviour:
    """What Stripe documents that may happen to webhooks, on demand."""

    paused: bool = False
    """Nothing is sent for now."""
    copies: int = 1
    """Each event is sent so often."""
    other_ids: bool = False
    """The copies are events of their own, with ids of their own."""
    delay_s: float = 0.0
    shuffle: random.Random | None = None
    """What is due is sent in an order of its own."""


class Webhooks:
    """Writes events, and sends them from a thread of its own."""

    def __init__(self, shelf: Shelf, url: str | None, secret: str) -> None:
        """Without a URL nobody is told."""
        self._shelf, self.url, self.secret = shelf, url, secret
        self.misbehaviour = Misbehaviour()
        self.taken: list[tuple[str, int]] = []
        """Type and answer of each try, for tests."""
        self.now: Callable[[], float] = time.time
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to send."""
        self._thread = threading.Thread(target=self._forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; what waits stays in the file."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def tell(self, kind: str, thing: dict[str, Any], key: str | None = None) -> None:
        """Something happened: an event, and its webhooks. Part of the present act."""
        odd = self.misbehaviour
        event = self._event(kind, thing, key)
        for copy in range(odd.copies):
            if copy and odd.other_ids:
                event = self._event(kind, thing, key)
            if self.url:
                self._shelf.send(json.dumps(event), time.time() + odd.delay_s)

    def _event(self, kind: str, thing: dict[str, Any], key: str | None) -> dict[str, Any]:
        event = {
            "id": new_id("evt"),
            "object": "event",
            "api_version": API_VERSION,
            "created": int(self.now()),
            "data": {"object": thing},
            "livemode": False,
            "pending_webhooks": 1 if self.url else 0,
            "request": {"id": new_id("req"), "idempotency_key": key},
            "type": kind,
        }
        return self._shelf.put(event)

    def _forever(self) -> None:
        while not self._stopped.wait(POLL_S):
            if self.misbehaviour.paused or not self.url:
                continue
            due = self._shelf.due(time.time(), AT_ONCE)
            if self.misbehaviour.shuffle is not None:
                self.misbehaviour.shuffle.shuffle(due)
            for each in due:
                if self._stopped.is_set() or self.misbehaviour.paused:
                    break
                status = self.send(each.body.encode())
                if 200 <= status < 300 or each.tries >= TRIES_MAX:  # noqa: PLR2004 - HTTP's
                    self._shelf.delivered(each.seq)
                else:
                    wait = WAITS_S[min(each.tries, len(WAITS_S) - 1)]
                    self._shelf.later(each.seq, time.time() + wait)

    def send(self, body: bytes) -> int:
        """Send one now; returns the status of the answer, 0 where there is none."""
        header = sign(body, self.secret, int(time.time()))
        assert self.url is not None and urlsplit(self.url).hostname
        status = post(self.url, body, {"stripe-signature": header})
        self.taken.append((json.loads(body)["type"], status))
        del self.taken[:-AT_ONCE]
        if status == 0:
            logger.info("the gateway did not take a webhook: it is sent again")
        return status


def post(url: str, body: bytes, headers: dict[str, str]) -> int:
    """The status of the answer; 0 where there was none."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    try:
        sent = {"content-type": "application/json; charset=utf-8", **headers}
        connection.request("POST", parts.path, body, sent)
        answer = connection.getresponse()
        answer.read(REPLY_BYTES_MAX)
    except (OSError, HTTPException):
        return 0
    else:
        return answer.status
    finally:
        connection.close()
