"""A gateway that sells credits through the double, and the process that handles what it tells."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from command_api.processes.paying import keep_paying
from tests.doubles.stripe import API_KEY, CARD, WEBHOOK_SECRET, Double, stripe_double
from tests.support.harness import TIMEOUT_S, eventually, running_gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from command_api.identity.users import NewUser
    from command_api.settings import Settings
    from event_store.postgres.database import Database
    from tests.support.harness import RunningGateway, ScriptedUpstream

PATH = "/api/stripe"
BACK = {"success_url": "https://example.com/paid", "cancel_url": "https://example.com/cart"}


@contextmanager
def payment_work(settings: Settings, database: Database) -> Iterator[threading.Event]:
    """The background work on payments, until the block ends or the event is set."""
    stop = threading.Event()

    def work() -> None:
        asyncio.run(keep_paying(settings, database, stop))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(TIMEOUT_S)
        assert not thread.is_alive(), "the work on payments did not end"


class Shop:
    """A gateway and the double beside it."""

    def __init__(self, gateway: RunningGateway, double: Double) -> None:
        self.gateway, self.double = gateway, double
        self.webhook = f"{gateway.url}{PATH}/webhook"

    def post(self, user: NewUser, path: str, body: Any, key: str = "") -> httpx.Response:
        """POST below /api/stripe."""
        headers = {"idempotency-key": key} if key else {}
        with self.gateway.client(user, **headers) as client:
            if isinstance(body, bytes):
                return client.post(f"{PATH}/{path}", content=body)
            return client.post(f"{PATH}/{path}", json=body)

    def get(self, user: NewUser, path: str, **query: Any) -> httpx.Response:
        """GET below /api/stripe."""
        with self.gateway.client(user) as client:
            return client.get(f"{PATH}/{path}", params=query)

    def checkout(self, user: NewUser, amount: int = 1_000, **members: Any) -> dict[str, Any]:
        """A checkout session."""
        got = self.post(user, "checkout-session", {"amount": amount, **BACK, **members})
        assert got.status_code == 200, got.text
        made: dict[str, Any] = got.json()
        return made

    def buy(self, user: NewUser, amount: int = 1_000, card: str = CARD) -> dict[str, Any]:
        """A session that is paid with a card."""
        made = self.checkout(user, amount)
        self.double.pay(made["url"], card)
        return made

    def payment(self, user: NewUser, made: dict[str, Any]) -> dict[str, Any]:
        """The payment of a session, as its owner sees it."""
        got = self.get(user, f"payments/{made['payment_id']}")
        assert got.status_code == 200, got.text
        found: dict[str, Any] = got.json()
        return found

    def intent(self, user: NewUser, made: dict[str, Any]) -> str:
        """The payment intent of a session, once it is completed."""
        found = eventually(
            lambda: (
                (now := self.payment(user, made))["completed_at"]
                and now["stripe_payment_intent_id"]
            )
        )
        return str(found)

    def bought(self, user: NewUser, amount: int = 1_000) -> tuple[dict[str, Any], str]:
        """A payment whose credits are given, and its intent."""
        made = self.buy(user, amount)
        return made, self.intent(user, made)

    def refund(self, admin: NewUser, intent: str, key: str = "", **body: Any) -> httpx.Response:
        """What a refund gets."""
        return self.post(admin, "refund", {"payment_intent_id": intent, **body}, key)

    def act(self, what: str, *arguments: Any, **how: Any) -> dict[str, Any]:
        """Something that happens at the double, beside its API."""
        returns = self.double.server.api.payments.returns
        with self.double.server.shelf.act():
            done: dict[str, Any] = getattr(returns, what)(*arguments, **how)
            return done

    def debits(self) -> list[tuple[str, int, int]]:
        """Kind, amount and what was owed of every debit, from the log."""
        with self.gateway.database.connect() as connection:
            rows = connection.execute(
                "SELECT f ->> 'kind', (f ->> 'amount_nano_usd')::bigint, "
                "(f ->> 'owed_nano_usd')::bigint FROM (SELECT notification_id AS at, "
                "convert_from(state, 'UTF8')::jsonb AS f FROM events "
                "WHERE topic LIKE 'ledger.credits_debited%') AS e ORDER BY at"
            ).fetchall()
        return [(str(kind), int(amount), int(owed)) for kind, amount, owed in rows]

    def granted(self, user: NewUser) -> int:
        """What the user was given in all, nano-USD."""
        granted: int = self.gateway.balance(user)["granted_nano_usd"]
        return granted

    def inbox(self, column: str = "state") -> list[Any]:
        """A column of the inbox, in the order of what happened."""
        with self.gateway.database.connect() as connection:
            rows = connection.execute(
                f"SELECT {column} FROM stripe_inbox ORDER BY happened_at, event_id".encode()
            ).fetchall()
        return [each[0] if len(each) == 1 else each for each in rows]

    def settled(self) -> list[str]:
        """The states of the inbox once nothing waits there, nor at the double."""
        return list(
            eventually(
                lambda: (
                    self.double.server.shelf.waiting() == 0
                    and (found := self.inbox())
                    and "waiting" not in found
                    and found
                )
            )
        )

    def lots(self) -> list[tuple[str, int]]:
        """Payment and amount of every lot that was bought, from the log."""
        with self.gateway.database.connect() as connection:
            rows = connection.execute(
                "SELECT convert_from(state, 'UTF8')::jsonb ->> 'payment_id', "
                "(convert_from(state, 'UTF8')::jsonb ->> 'amount_nano_usd')::bigint FROM events "
                "WHERE topic LIKE 'ledger.credits_granted%' "
                "AND convert_from(state, 'UTF8')::jsonb ->> 'kind' = 'purchase'"
            ).fetchall()
        return [(str(payment), int(amount)) for payment, amount in rows]


@contextmanager
def shop(
    database: Database, home: Path, upstream: ScriptedUpstream, *, work: bool = True, **more: Any
) -> Iterator[Shop]:
    """A gateway that sells credits, with its background work unless a test does that itself."""
    with (
        stripe_double() as double,
        running_gateway(
            database,
            home,
            upstream,
            **{
                "stripe_api_key": API_KEY,
                "stripe_webhook_secrets": WEBHOOK_SECRET,
                "stripe_url": double.url,
                "stripe_poll_s": 3_600,
                **more,
            },
        ) as gateway,
    ):
        made = Shop(gateway, double)
        double.webhooks.url = made.webhook
        if not work:
            yield made
            return
        with payment_work(gateway.settings, database):
            yield made
