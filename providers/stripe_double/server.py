"""The double's HTTP server, in threads of this process."""

from __future__ import annotations

import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from providers.stripe_double.api import Api
from providers.stripe_double.checkout import PAGES
from providers.stripe_double.errors import Refused, invalid
from providers.stripe_double.handler import Outage, Server
from providers.stripe_double.shelf import Shelf
from providers.stripe_double.webhooks import Webhooks

if TYPE_CHECKING:
    from pathlib import Path

EXPIRE_S = 5.0
STEP_S = 3_600


class StripeDouble:
    """Start it, ask it over HTTP, stop it; what it knows is in `place`, or gone with it."""

    def __init__(
        self,
        *,
        api_key: str,
        webhook_secret: str,
        webhook_url: str | None = None,
        place: Path | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        """On a listener that is handed over, or on a free port of this machine."""
        self.api_key, self.outage = api_key, Outage.NONE
        self.shelf = Shelf(place)
        self.webhooks = Webhooks(self.shelf, webhook_url, webhook_secret)
        self.api = Api(self.shelf, self.webhooks, api_key)
        self._server = Server(self, listener or socket.create_server(("127.0.0.1", 0)))
        host, port = self._server.socket.getsockname()[:2]
        self.url = self.api.checkout.base = self.api.billing.base = f"http://{host}:{port}"
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True),
            threading.Thread(target=self._expire, daemon=True),
        ]

    def start(self) -> None:
        """Begin to answer, and to send webhooks."""
        for each in self._threads:
            each.start()
        self.webhooks.start()

    def stop(self) -> None:
        """End; webhooks that were not taken are sent by the next one on the same file."""
        self._stopped.set()
        self.webhooks.stop()
        self._server.shutdown()
        for each in self._threads:
            each.join()
        self._server.server_close()
        self.shelf.close()

    def _expire(self) -> None:
        while not self._stopped.wait(EXPIRE_S):
            with self.shelf.act():
                self.api.checkout.expire_due()
                self.api.billing.subscriptions.renew_due()

    def advance_to(self, second: int) -> None:
        """The clock stands at this second of Unix time from now on, as a test clock of Stripe's:
        what was due until then is done, each at its time.
        """
        step = min(STEP_S, max(second - int(self.webhooks.now()), 1))
        at = int(self.webhooks.now())
        while at < second:
            at = min(at + step, second)
            self.webhooks.now = partial(float, at)
            with self.shelf.act():
                self.api.billing.subscriptions.renew_due()

    def pay(self, path: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """What a person does on the page: `…/pay` or `…/authenticate`."""
        name, _, act = path.removeprefix(PAGES).partition("/")
        checkout = self.api.checkout
        try:
            with self.shelf.act():
                try:
                    if act == "pay":
                        session = checkout.pay(name, str(asked.get("card", "")))
                    elif act == "authenticate":
                        agreed = asked.get("approve") in (True, "true")
                        session = checkout.prove(name, agreed=agreed)
                    else:
                        raise invalid("Unrecognized request URL.")
                except Refused as declined:
                    if declined.status != 402:  # noqa: PLR2004 - only a decline is an act
                        raise
                    return declined.status, declined.body
        except Refused as error:
            return error.status, error.body
        if session["status"] != "complete":
            return 200, {"status": "requires_action", "authenticate": f"{PAGES}{name}/authenticate"}
        back = str(session["success_url"] or "").replace("{CHECKOUT_SESSION_ID}", session["id"])
        return 200, {"status": "complete", "redirect": back}
