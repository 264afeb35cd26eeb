"""Subscribing, changing and ending it; what stands, by what the log has of it."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
from uuid import UUID

import psycopg
from eventsourcing.persistence import PersistenceError

from command_api.money.asked import Words, ask
from command_api.subscriptions.customers import Customers
from command_api.subscriptions.schemas import SUBSCRIPTION, check_url
from domain.errors import DomainError
from domain.subscriptions.subscription import LIVE, OVER
from domain.subscriptions.tiers import RANK, Tier, highest
from edge.errors import SERVER, ApiError, bad_request, sentence, unavailable
from edge.replies import usd
from event_store.beside.billing.subscriptions import read_subscriptions
from event_store.beside.users import account_of
from event_store.ids import new_uuid7
from providers.payments.billing import SessionWish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from command_api.identity.people import People
    from command_api.subscriptions.schemas import SubscriptionAsked
    from domain.events.base import Event
    from domain.subscriptions.tiers import Offer, Offers
    from edge.caller import Caller
    from event_store.beside.billing.subscriptions import SubscriptionRow
    from providers.payments.billing import BillingProvider, Standing
    from providers.payments.port import NotThereError

T = TypeVar("T")
P = ParamSpec("P")

PAID_TEXT = "?session_id={CHECKOUT_SESSION_ID}"
"""Stripe puts the session's id there."""
INVOICE = (
    *("id", "number", "status", "currency", "amount_due", "amount_paid", "total", "subtotal"),
    *("billing_reason", "hosted_invoice_url", "invoice_pdf", "created", "customer_tax_ids"),
    *("total_taxes",),
)
"""What is shown of Stripe's invoices, under Stripe's own names."""


class Subscriptions:
    """One for each process."""

    def __init__(
        self,
        people: People,
        provider: BillingProvider | None,
        *,
        offers: Offers,
        return_url: str | None,
        taxed: bool,
    ) -> None:
        """Without a provider nobody can pay. `return_url` is where people come back to."""
        self._people, self._provider = people, provider
        self._return_url, self._taxed = return_url, taxed
        self.offers, self.customers = offers, Customers(people, provider)

    async def close(self) -> None:
        """Let go of the provider."""
        if self._provider is not None:
            await self._provider.close()

    async def customer_of(self, caller: Caller, email: str | None = None) -> str:
        """The customer that the caller's account is, whose receipts go to this address from now on
        where one is given; empty where nobody can pay. Raises ApiError.
        """
        customer = await _asked(self.customers.of(caller))
        if email and self._provider is not None:
            await _asked(self._provider.address_customer(customer, email))
        return customer

    async def checkout(
        self, caller: Caller, asked: SubscriptionAsked, key: str | None
    ) -> dict[str, Any]:
        """A page on which the caller can subscribe, or save a card. Raises ApiError."""
        asked.check()
        provider = self._ready()
        if asked.mode == SUBSCRIPTION:
            self._offered(asked.price_id, asked.product_id)
            rows = await self._rows(caller)
            if any(each.status not in OVER and each.status != "incomplete" for each in rows):
                message = (
                    "This account has a subscription: change it by POST "
                    "/api/stripe/subscriptions/{subscription_id}/change."
                )
                raise ApiError(409, "already_subscribed", message)
        success = asked.success_url or (self._return_url and f"{self._return_url}{PAID_TEXT}")
        if not success:
            message = "success_url is missing: the page to which people come back."
            raise bad_request("invalid_value", message, "success_url")
        customer = await self.customer_of(caller, asked.customer_email)
        digest = hashlib.sha256((key or str(new_uuid7())).encode()).hexdigest()
        wish = SessionWish(
            account_id=caller.account_id,
            customer_id=customer,
            key=f"gatewayz-{caller.account_id}-subscribe-{digest}",
            price_id=asked.price_id,
            success_url=success,
            cancel_url=asked.cancel_url or self._return_url or success,
            taxed=self._taxed,
            metadata=asked.said,
        )
        session = await _asked(provider.open_session(wish))
        return {
            "session_id": session.id,
            "url": session.url,
            "customer_id": customer,
            "status": session.status,
            "expires_at": session.expires_at,
        }

    async def change(
        self, caller: Caller, subscription_id: str, price_id: str, product_id: str | None
    ) -> dict[str, Any]:
        """Another price from now on. A higher tier is paid for at once, for the rest of the period;
        a lower one costs less from the next period on. Raises ApiError.
        """
        provider = self._ready()
        row = await self._own(caller, subscription_id)
        if row.status not in LIVE:
            message = f"This subscription is {row.status}: it cannot be changed."
            raise ApiError(409, "subscription_not_active", message)
        offer = self._offered(price_id, product_id)
        up = RANK[offer.tier] > RANK[Tier(row.tier)]
        return _standing(await _asked(provider.change(row.subscription_id, price_id, at_once=up)))

    async def cancel(self, caller: Caller, subscription_id: str, *, at_end: bool) -> dict[str, Any]:
        """It ends with its period, or at once. Raises ApiError."""
        provider = self._ready()
        row = await self._going(caller, subscription_id)
        if at_end:
            asking = provider.cancel_at_end(row.subscription_id, ends=True)
        else:
            asking = provider.cancel(row.subscription_id)
        return _standing(await _asked(asking))

    async def resume(self, caller: Caller, subscription_id: str) -> dict[str, Any]:
        """It does not end with its period after all. Raises ApiError."""
        provider = self._ready()
        row = await self._going(caller, subscription_id)
        return _standing(await _asked(provider.cancel_at_end(row.subscription_id, ends=False)))

    async def portal(self, caller: Caller, return_url: str | None) -> dict[str, Any]:
        """A page of Stripe's on which the caller's customer helps itself. Raises ApiError."""
        check_url("return_url", return_url)
        provider = self._ready()
        back = return_url or self._return_url
        if not back:
            message = "return_url is missing: the page to which people come back."
            raise bad_request("invalid_value", message, "return_url")
        customer = await self.customer_of(caller)
        return {"url": await _asked(provider.open_portal(customer, back)), "customer_id": customer}

    async def invoices(self, caller: Caller, limit: int, after: str) -> dict[str, Any]:
        """The account's invoices as Stripe has them, newest first. Raises ApiError."""
        provider = self._ready()
        known = await self._read(self.customers.known, caller.account_id)
        if known is None:
            return {"invoices": [], "has_more": False}
        page = await _asked(provider.invoices(known.customer_id, limit, after))
        found = [{name: each.get(name) for name in INVOICE} for each in page.rows]
        return {"invoices": found, "has_more": page.more}

    async def shown(self, caller: Caller) -> dict[str, Any]:
        """The tier of the caller's account, and its subscriptions. Raises ApiError."""
        rows = await self._rows(caller)
        known = await self._read(self.customers.known, caller.account_id)
        tier = highest(Tier(each.tier) for each in rows if each.status in LIVE)
        allowance = self.offers.allowance(tier)
        return {
            "tier": tier,
            "allowance_usd": usd(allowance),
            "allowance_nano_usd": allowance,
            "customer_id": known and known.customer_id,
            "has_saved_card": bool(known and known.method_id),
            "subscriptions": [_row(each) for each in rows],
        }

    def leaving(self, user_id: UUID) -> list[Event]:
        """What leaving the house means here: nothing, for who is charged no more. Blocks.

        Raises ApiError 409 for who still is.
        """
        with self._people.connect() as connection:
            account_id = account_of(connection, user_id)
            rows = [] if account_id is None else read_subscriptions(connection, account_id)
        if any(each.status not in OVER and not each.cancels_at_end for each in rows):
            message = (
                "Your account is still subscribed: end that first, by POST "
                "/api/stripe/subscriptions/{subscription_id}/cancel."
            )
            raise ApiError(409, "still_subscribed", message)
        return []

    def tiers(self) -> dict[str, Any]:
        """What can be subscribed to here."""
        return {
            "tiers": [
                {
                    "tier": each.tier,
                    "product_id": each.product_id,
                    "price_id": each.price_id,
                    "allowance_usd": usd(self.offers.allowance(each.tier)),
                    "allowance_nano_usd": self.offers.allowance(each.tier),
                }
                for each in self.offers.all
            ]
        }

    def _offered(self, price_id: str, product_id: str | None) -> Offer:
        try:
            return self.offers.offered(price_id, product_id)
        except DomainError as error:
            raise bad_request("price_not_offered", sentence(error), "price_id") from None

    async def _going(self, caller: Caller, subscription_id: str) -> SubscriptionRow:
        row = await self._own(caller, subscription_id)
        if row.status in OVER:
            message = f"This subscription is {row.status}: there is nothing to end."
            raise ApiError(409, "subscription_not_active", message)
        return row

    async def _own(self, caller: Caller, subscription_id: str) -> SubscriptionRow:
        """One of the caller's account; raises ApiError 404, for another account's too."""
        for each in await self._rows(caller):
            if each.subscription_id == subscription_id:
                return each
        message = "There is no such subscription: GET /api/stripe/subscriptions lists yours."
        raise ApiError(404, "subscription_not_found", message)

    async def _rows(self, caller: Caller) -> list[SubscriptionRow]:
        def read() -> list[SubscriptionRow]:
            with self._people.connect() as connection:
                return read_subscriptions(connection, UUID(caller.account_id))

        return await self._read(read)

    async def _read(self, work: Callable[P, T], /, *values: P.args, **named: P.kwargs) -> T:
        return await _asked(self._people.run(work, *values, **named))

    def _ready(self) -> BillingProvider:
        if self._provider is None:
            message = (
                "Nobody can pay here: whoever runs this gateway has to set "
                "GATEWAYZ_STRIPE_API_KEY, or to start it with `gatewayz up --demo`."
            )
            raise ApiError(503, "payments_off", message, kind=SERVER)
        return self._provider


def _missing(error: NotThereError) -> ApiError:
    return ApiError(404, "subscription_not_found", f"Stripe does not know it: {error}")


WORDS = Words(
    what="it",
    missing=_missing,
    again="Try again, with the same Idempotency-Key.",
    reused="This Idempotency-Key is of another request: use a new one.",
)


async def _asked(asking: Awaitable[T]) -> T:
    """What Stripe or the log gives; raises ApiError."""
    try:
        return await ask(asking, WORDS)
    except DomainError as error:
        raise bad_request("invalid_value", sentence(error)) from None
    except (PersistenceError, psycopg.Error):
        message = "The ledger cannot be reached, so nothing was changed. Send the same again."
        raise unavailable("ledger_unavailable", message) from None


def _standing(found: Standing) -> dict[str, Any]:
    return {
        "subscription_id": found.id,
        "status": found.status,
        "price_id": found.price_id,
        "current_period_end": _instant(found.period_ends),
        "cancel_at_period_end": found.cancels_at_end,
    }


def _row(row: SubscriptionRow) -> dict[str, Any]:
    return {
        "subscription_id": row.subscription_id,
        "status": row.status,
        "tier": row.tier if row.status in LIVE else Tier.BASIC,
        "product_id": row.product_id or None,
        "price_id": row.price_id or None,
        "current_period_start": _instant(row.period_begins),
        "current_period_end": _instant(row.period_ends),
        "cancel_at_period_end": row.cancels_at_end,
        "unpaid_invoice_id": row.unpaid or None,
    }


def _instant(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()
