"""Payments without an account at Stripe: a double of it, as a child of the supervisor.

Its key, its webhooks' secret and its port are kept in the home, beside what it knows: after a
restart it is the same, and other verbs find it.
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from command_api.processes.errors import StartError
from providers.stripe_double.billing.products import OFFERS
from providers.stripe_double.server import StripeDouble

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from command_api.settings import Settings

logger = logging.getLogger("gatewayz.stripe_double")

HOST = "127.0.0.1"
ANYWHERE = {"0.0.0.0": HOST, "::": "[::1]"}  # noqa: S104 - what others are told to call instead
PRIVATE = 0o600


class Kept(msgspec.Struct):
    """What the home keeps of the double."""

    api_key: str
    webhook_secret: str
    port: int = 0


class Demo:
    """The double of one home."""

    def __init__(self, home: Path) -> None:
        """Nothing is made yet."""
        self._folder = home / "stripe_double"
        self._file = self._folder / "settings.json"

    @property
    def place(self) -> Path:
        """Where the double keeps what it knows."""
        return self._folder / "state.sqlite"

    def listen(self) -> socket.socket:
        """A socket for it, on the port that it had before where that is free.

        Raises StartError where the home cannot be written.
        """
        kept = self.kept() or Kept(
            f"sk_test_demo_{secrets.token_hex(16)}", f"whsec_demo_{secrets.token_hex(16)}"
        )
        try:
            listener = socket.create_server((HOST, kept.port))
        except OSError:
            listener = socket.create_server((HOST, 0))
        kept.port = listener.getsockname()[1]
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file.touch(mode=PRIVATE)
            self._file.write_bytes(msgspec.json.encode(kept))
        except OSError as error:
            listener.close()
            message = f"the double of Stripe cannot keep its state ({error.strerror})"
            raise StartError(message) from None
        return listener

    def kept(self) -> Kept | None:
        """What the home keeps; None for nothing, or what cannot be read."""
        with suppress(OSError, msgspec.DecodeError):
            return msgspec.json.decode(self._file.read_bytes(), type=Kept)
        return None


def with_double(settings: Settings) -> Settings:
    """The settings of processes that pay at the home's double, where there is one and no key.

    Gives them back as they are elsewhere.
    """
    payments = settings.payments
    kept = Demo(settings.installation.home).kept()
    if payments.stripe_api_key or kept is None:
        return settings
    found = {
        "stripe_api_key": kept.api_key,
        "stripe_webhook_secrets": kept.webhook_secret,
        "stripe_url": f"http://{HOST}:{kept.port}",
        "subscription_offers": payments.subscription_offers or OFFERS,
    }
    return settings.model_copy(update={"payments": payments.model_copy(update=found)})


def away(settings: Settings) -> str:
    """What to do where Stripe cannot be reached, if it is the double of this home; else nothing."""
    if with_double(settings) is settings:
        return ""
    return (
        ". This is a demo home: its double of Stripe runs as long as `gatewayz up --demo` does, so "
        "start that first; to compare with Stripe itself, set GATEWAYZ_STRIPE_API_KEY"
    )


def returning_to(settings: Settings, url: str) -> Settings:
    """The settings, with the page to which people come back where none is set."""
    if settings.payments.return_url or settings.mail.public_url:
        return settings
    payments = settings.payments.model_copy(update={"return_url": f"{url}/"})
    return settings.model_copy(update={"payments": payments})


def reachable(host: str, port: int) -> str:
    """How a process of this machine calls the gateway that listens there."""
    host = ANYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{host}:{port}"


def run_double(
    settings: Settings, *, listener: int, gateway: int, watch: Callable[[Callable[[], None]], None]
) -> None:
    """Be the double until told to stop; `gateway` is the socket on which webhooks are taken."""
    kept = Demo(settings.installation.home).kept()
    assert kept is not None
    host, port = socket.socket(fileno=os.dup(gateway)).getsockname()[:2]
    double = StripeDouble(
        api_key=kept.api_key,
        webhook_secret=kept.webhook_secret,
        webhook_url=f"{reachable(host, port)}/api/stripe/webhook",
        place=Demo(settings.installation.home).place,
        listener=socket.socket(fileno=listener),
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch(stop.set)
    double.start()
    stop.wait()
    double.stop()


def told(settings: Settings, url: str) -> str:
    """What a start says of it."""
    if settings.payments.stripe_api_key:
        return "Payments are taken by Stripe, by the key that is set: this is no demo.\n"
    kept = Demo(settings.installation.home).kept()
    port = kept.port if kept else 0
    return f"""
Demo payments: a double of Stripe takes test cards on http://{HOST}:{port}; no money moves.
Buy credits:

  curl {url}/api/stripe/checkout-session \\
    -H "Authorization: Bearer $GATEWAYZ_API_KEY" \\
    -d '{{"package_id": "starter"}}'

and pay on the page of the answer's `url`, or with

  curl "$URL/pay" -d '{{"card": "4242424242424242"}}'

Subscribe by /api/stripe/subscription-checkout with `{{"price_id": "price_pro"}}`, and pay likewise.
"""
