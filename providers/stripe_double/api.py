"""The HTTP API: paths, authentication, idempotency keys, lists."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from providers.stripe_double.billing.sessions import Billing
from providers.stripe_double.checkout import Checkout
from providers.stripe_double.errors import Refused, invalid
from providers.stripe_double.forms import FormError, read_form
from providers.stripe_double.payments import Payments

if TYPE_CHECKING:
    from collections.abc import Callable

    from providers.stripe_double.payments import Thing
    from providers.stripe_double.shelf import Shelf
    from providers.stripe_double.webhooks import Webhooks

PAGE, PAGE_MAX = 10, 100
UNAUTHORIZED = 401
KINDS = {
    "payment_intents": "payment_intent",
    "charges": "charge",
    "refunds": "refund",
    "disputes": "dispute",
    "customers": "customer",
    "events": "event",
    "balance_transactions": "balance_transaction",
    "payouts": "payout",
    "checkout/sessions": "checkout.session",
    "billing_portal/sessions": "billing_portal.session",
    "products": "product",
    "prices": "price",
    "subscriptions": "subscription",
    "invoices": "invoice",
    "invoice_payments": "invoice_payment",
    "setup_intents": "setup_intent",
    "payment_methods": "payment_method",
}
FILTERS = ("payment_intent", "charge", "customer", "subscription", "invoice", "status")
_PATH = re.compile(
    r"/v1/(checkout/sessions|billing_portal/sessions|[a-z_]+)(?:/([A-Za-z0-9_]+))?(?:/([a-z]+))?"
)


class Asked(NamedTuple):
    """One request."""

    method: str
    path: str
    query: str
    body: bytes
    authorization: str
    idempotency_key: str | None


class Answer(NamedTuple):
    """Status, body, and whether it is the one that an idempotency key had before."""

    status: int
    body: bytes
    replayed: bool = False


class Api:
    """What is asked of the double over HTTP."""

    def __init__(self, shelf: Shelf, webhooks: Webhooks, api_key: str) -> None:
        """`api_key` is the one that is right."""
        self._shelf, self._authorization = shelf, f"Bearer {api_key}"
        self.payments = Payments(shelf, webhooks)
        self.billing = Billing(shelf, webhooks, self.payments)
        self.checkout = Checkout(shelf, webhooks, self.payments, self.billing)
        self._create: dict[str, Callable[[Thing, str | None], Thing]] = {
            "payment_intents": self.payments.create_intent,
            "refunds": self.payments.returns.refund,
            "customers": self.billing.customers.create,
            "billing_portal/sessions": self.billing.open_portal,
            "checkout/sessions": self.checkout.create,
        }
        customers, subscriptions = self.billing.customers, self.billing.subscriptions
        self._acts: dict[tuple[str, str, str | None], Callable[[str, Thing, str | None], Thing]] = {
            ("POST", "payment_intents", "confirm"): self.payments.confirm,
            ("POST", "payment_intents", "cancel"): lambda name, _, key: self.payments.cancel(
                name, key
            ),
            ("POST", "checkout/sessions", "expire"): lambda name, *_: self.checkout.expire(name),
            ("POST", "customers", None): lambda name, form, _: customers.update(name, form),
            ("POST", "subscriptions", None): lambda name, form, _: subscriptions.update(name, form),
            ("DELETE", "subscriptions", None): lambda name, *_: subscriptions.cancel(name),
        }

    def answer(self, asked: Asked) -> Answer:
        """What a request gets; what a refusal had changed until then (a decline) stays."""
        refused: Refused | None = None
        try:
            right = self._authorization.encode()
            if not hmac.compare_digest(asked.authorization.encode(), right):
                text = "Invalid API Key provided."
                raise Refused(UNAUTHORIZED, "invalid_request_error", text)
            key = asked.idempotency_key if asked.method == "POST" else None
            digest = hashlib.sha256(f"{asked.path}\n".encode() + asked.body).hexdigest()
            with self._shelf.act():
                known = self._shelf.answer(key) if key else None
                if known is not None:
                    return _repeated(known, digest)
                try:
                    status, body = 200, self._act(asked, key)
                except Refused as error:
                    if error.status != 402:  # noqa: PLR2004 - only a decline is an act
                        raise
                    status, body = error.status, error.body
                text = json.dumps(body)
                if key:
                    self._shelf.keep_answer(key, digest, status, text)
                return Answer(status, text.encode())
        except Refused as error:
            refused = error
        except FormError as error:
            refused = invalid(str(error))
        return Answer(refused.status, json.dumps(refused.body).encode())

    def _act(self, asked: Asked, key: str | None) -> Thing:
        found = _PATH.fullmatch(asked.path)
        if found is None or found[1] not in KINDS:
            raise _unknown(asked)
        kind, name, act = found.groups()
        if asked.method == "GET" and act is None:
            query = read_form(asked.query.encode())
            return self._shown(kind, name) if name else self._listed(kind, query)
        form = read_form(asked.body)
        if asked.method == "POST" and name is None and kind in self._create:
            return self._create[kind](form, key)
        do = self._acts.get((asked.method, kind, act))
        if do is None or name is None:
            raise _unknown(asked)
        return do(name, form, key)

    def _shown(self, kind: str, name: str) -> Thing:
        if kind == "checkout/sessions":
            return self.checkout.shown(self.checkout.found(name))
        return self.payments.found(KINDS[kind], name)

    def _listed(self, kind: str, query: dict[str, Any]) -> Thing:
        """Newest first, as every list of Stripe's."""
        limit = query.get("limit", str(PAGE))
        if not limit.isdigit() or not 1 <= int(limit) <= PAGE_MAX:
            text = f"limit must be 1 to {PAGE_MAX}"
            raise invalid(text, "limit")
        rows = [each for each in self._shelf.newest(KINDS[kind]) if _fits(each, query)]
        if after := query.get("starting_after"):
            place = [each["id"] for each in rows]
            if after not in place:
                text = f"No such object: '{after[:100]}'"
                raise invalid(text, "starting_after")
            rows = rows[place.index(after) + 1 :]
        page = rows[: int(limit)]
        if kind == "checkout/sessions":
            page = [self.checkout.shown(each) for each in page]
        more = len(rows) > len(page)
        return {"object": "list", "data": page, "has_more": more, "url": f"/v1/{kind}"}


def _fits(thing: Thing, query: dict[str, Any]) -> bool:
    created = query.get("created", {})
    if isinstance(created, dict):
        for bound, holds in _BOUNDS.items():
            if bound in created and not holds(thing["created"], int(created[bound])):
                return False
    payment = query.get("payment", {})
    if isinstance(payment, dict) and any(
        thing.get("payment", {}).get(name) != value for name, value in payment.items()
    ):
        return False
    types = query.get("types")
    if types and thing.get("type") not in types:
        return False
    return all(thing.get(name) == query[name] for name in FILTERS if name in query)


_BOUNDS: dict[str, Callable[[int, int], bool]] = {
    "gte": lambda at, bound: at >= bound,
    "gt": lambda at, bound: at > bound,
    "lte": lambda at, bound: at <= bound,
    "lt": lambda at, bound: at < bound,
}


def _repeated(known: tuple[str, int, str], digest: str) -> Answer:
    was, status, body = known
    if was != digest:
        text = (
            "Keys for idempotent requests can only be used with the same parameters they were "
            "first used with."
        )
        raise Refused(400, "idempotency_error", text)
    return Answer(status, body.encode(), replayed=True)


def _unknown(asked: Asked) -> Refused:
    text = f"Unrecognized request URL ({asked.method}: {asked.path[:200]})."
    return Refused(404, "invalid_request_error", text)
