"""A gateway that sells subscriptions through the double, whose clock a test sets."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from providers.stripe_double.billing.products import OFFERS
from tests.doubles.stripe import CARD
from tests.support.harness import eventually
from tests.support.payments import BACK, Shop, shop

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from command_api.identity.users import NewUser
    from event_store.postgres.database import Database
    from tests.support.harness import ScriptedUpstream

BEGUN = "2027-01-31T12:00:00"


def second(text: str) -> int:
    """A second of Unix time."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


class Club:
    """What people who subscribe do, and what they have then."""

    def __init__(self, store: Shop) -> None:
        self.store, self.double = store, store.double

    def page(self, user: NewUser, price: str = "price_pro", **members: Any) -> dict[str, Any]:
        """A checkout session for a price."""
        got = self.store.post(user, "subscription-checkout", {"price_id": price, **BACK, **members})
        assert got.status_code == 200, got.text
        made: dict[str, Any] = got.json()
        return made

    def join(self, user: NewUser, price: str = "price_pro", card: str = CARD) -> str:
        """Subscribe; the subscription's id, once the gateway knows it."""
        url = self.page(user, price)["url"]
        paid = self.double.pay(url, card)
        if paid.json().get("status") == "requires_action":
            paid = self.double.authenticate(url)
        assert paid.json()["status"] == "complete", paid.text
        self.store.settled()
        return str(self.shown(user)["subscriptions"][0]["subscription_id"])

    def shown(self, user: NewUser) -> dict[str, Any]:
        """What the user sees of it."""
        got = self.store.get(user, "subscriptions")
        assert got.status_code == 200, got.text
        seen: dict[str, Any] = got.json()
        return seen

    def until(self, text: str) -> None:
        """The double's clock stands there, and the gateway has handled what it told."""
        self.double.server.advance_to(second(text))
        self.store.settled()

    def tier(self, user: NewUser) -> str:
        """The tier of the user's account."""
        return str(self.shown(user)["tier"])

    def allowances(self) -> list[tuple[int, str]]:
        """Amount and end of every allowance, from the log."""
        with self.store.gateway.database.connect() as connection:
            rows = connection.execute(
                "SELECT (state ->> 'amount_nano_usd')::bigint, state ->> 'expires_at' FROM ("
                "SELECT convert_from(state, 'UTF8')::jsonb AS state, notification_id FROM events "
                "WHERE topic LIKE 'ledger.credits_granted%') e "
                "WHERE state ->> 'kind' = 'allowance' ORDER BY notification_id"
            ).fetchall()
        return [(int(amount), str(ends)) for amount, ends in rows]

    def waits(self, count: int) -> list[tuple[int, str]]:
        """The allowances, once there are so many and nothing waits."""
        eventually(lambda: len(self.allowances()) == count)
        self.store.settled()
        found = self.allowances()
        assert len(found) == count, found
        return found


@contextmanager
def club(
    database: Database, home: Path, upstream: ScriptedUpstream, *, work: bool = True, **more: Any
) -> Iterator[Club]:
    """A gateway with the demo's two tiers, on the last day of a January."""
    with shop(
        database, home, upstream, work=work, **{"subscription_offers": OFFERS, **more}
    ) as store:
        store.double.server.advance_to(second(BEGUN))
        yield Club(store)
