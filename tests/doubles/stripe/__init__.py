"""The Stripe double as tests use it: over real HTTP, each answer held against Stripe's document."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from jsonschema import Draft202012Validator

from providers.stripe_double.server import StripeDouble

if TYPE_CHECKING:
    from collections.abc import Iterator

API_KEY, WEBHOOK_SECRET = "sk_test_of_tests", "whsec_of_tests"
CARD, DECLINED, SECURE = "4242424242424242", "4000000000000002", "4000002500003155"
DOCUMENT = Path(__file__).with_name("openapi.json")
TIMEOUT_S = 10.0


@contextmanager
def stripe_double(webhook_url: str | None = None, place: Path | None = None) -> Iterator[Double]:
    """One for a block."""
    made = StripeDouble(
        api_key=API_KEY, webhook_secret=WEBHOOK_SECRET, webhook_url=webhook_url, place=place
    )
    made.start()
    double = Double(made)
    try:
        yield double
    finally:
        double.client.close()
        made.stop()


class Double:
    """The double, a client of its API that checks each answer, and who pays."""

    def __init__(self, double: StripeDouble) -> None:
        self.server, self.webhooks, self.url = double, double.webhooks, double.url
        self.client = httpx.Client(
            base_url=double.url,
            headers={"authorization": f"Bearer {API_KEY}"},
            timeout=TIMEOUT_S,
        )

    def post(self, path: str, key: str = "", **form: str) -> httpx.Response:
        """A POST below /v1; the answer fits Stripe's document."""
        headers = {"idempotency-key": key} if key else {}
        answer = self.client.post(f"/v1/{path}", data=form, headers=headers)
        check(answer.json())
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """A GET below /v1; the answer fits too."""
        said = self.client.get(f"/v1/{path}", params=query).json()
        check(said)
        return said

    def pay(self, url: str, card: str = CARD) -> httpx.Response:
        """A person pays on a session's page."""
        return httpx.post(f"{url}/pay", json={"card": card}, timeout=TIMEOUT_S)

    def authenticate(self, url: str, *, approve: bool = True) -> httpx.Response:
        """The owner of the card answers 3-D Secure there."""
        return httpx.post(f"{url}/authenticate", json={"approve": approve}, timeout=TIMEOUT_S)

    def session(self, amount: int = 1_000, **form: str) -> dict[str, Any]:
        """A checkout session for dollars."""
        price = "line_items[0][price_data]"
        asked = {
            "mode": "payment",
            "line_items[0][quantity]": "1",
            f"{price}[currency]": "usd",
            f"{price}[unit_amount]": str(amount),
            f"{price}[product_data][name]": "Credits",
            "success_url": "https://example.com/paid?id={CHECKOUT_SESSION_ID}",
            **form,
        }
        answer = self.post("checkout/sessions", **asked)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made


@cache
def _validator(kind: str) -> Draft202012Validator:
    document = json.loads(DOCUMENT.read_text())
    return Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": document["$defs"]})


def check(said: dict[str, Any]) -> None:
    """Stripe's document knows an answer so; raises AssertionError."""
    if said.get("object") == "list":
        for each in said["data"]:
            check(each)
        return
    kind = "error" if "error" in said else said["object"]
    faults = [
        f"{each.json_path}: {each.message[:200]}" for each in _validator(kind).iter_errors(said)
    ]
    assert not faults, (kind, faults[:3])
    if kind == "event":
        check(said["data"]["object"])
