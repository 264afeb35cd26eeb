"""The process manager of top-ups: a balance that falls is looked at, what is begun is charged.

Each cause begins at most one charge, which the account's stream guards; the charge is a cause of
its own, so that who dies at Stripe's leaves a wish, which asks again under the same key.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from command_api.managers.manager import Done
from domain.topups.waking import CHARGE, HEARD, charge_of, lapse_of, react, wake_of
from event_store.beside.billing.topups import WAKES, sleep
from event_store.ids import to_iso
from event_store.log.reading import booking_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from command_api.managers.manager import Taken
    from command_api.topups.charging import Charging, Connect
    from domain.events.base import Event
    from domain.wishes import Wish

ASK_AGAIN_S = 30.0
"""Until a payment that Stripe still works on is asked for again."""


class TopUpManager:
    """One for each host of managers."""

    name = "top_ups"
    hears: Sequence[type[Event]] = HEARD
    from_the_beginning = False
    only = WAKES

    def __init__(self, connect: Connect, charging: Charging) -> None:
        """The connections are open."""
        self._connect, self._charging = connect, charging

    def react(self, event: Event) -> Sequence[Wish]:
        """A look at its account, or its charge."""
        return react(event)

    async def fulfil(self, taken: Taken) -> Done:
        """Do it; raises what the ledger, the database and the payment provider raise."""
        account_id = taken.details["account_id"]
        if taken.kind == CHARGE:
            return await self._charge(account_id, taken.details["payment_id"])
        looked = await asyncio.to_thread(self._charging.look, account_id)
        writes = partial(
            sleep,
            account_id=UUID(account_id),
            version=looked.version,
            until=looked.asleep_until or "-infinity",
        )
        more = []
        if looked.asleep_until:
            more.append(wake_of(account_id, looked.asleep_until))
        if looked.lapse is not None:
            more.append(lapse_of(account_id, *looked.lapse))
        return Done(writes=writes, more=more)

    async def _charge(self, account_id: str, payment_id: str) -> Done:
        if await self._charging.charge(account_id, payment_id):
            return Done()
        again_at = await asyncio.to_thread(self._soon)
        return Done(more=[charge_of(account_id, payment_id, again_at)])

    def _soon(self) -> str:
        with self._connect() as connection:
            return to_iso(booking_now(connection) + timedelta(seconds=ASK_AGAIN_S))
