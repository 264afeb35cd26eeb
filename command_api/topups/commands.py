"""What an account wants of its top-ups, set and shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from eventsourcing.persistence import IntegrityError, PersistenceError

from domain.errors import InvalidCommandError
from domain.payments.fiat import USD
from domain.topups.topups import (
    NothingToTopUpByError,
    check_terms,
    month_of,
    replay_top_ups,
    set_top_ups,
    top_up_stream,
)
from edge.errors import ApiError, bad_request, ledger_unavailable, sentence
from event_store.beside.billing.subscriptions import read_customer
from event_store.beside.users import account_of
from event_store.ids import new_envelope, now_iso

if TYPE_CHECKING:
    from command_api.identity.people import People
    from command_api.topups.schemas import TopUpsAsked
    from domain.events.base import Event
    from domain.topups.topups import TopUps
    from edge.caller import Caller

TRIES_MAX = 5
"""How often it is decided anew because somebody else was quicker."""


class TopUpDesk:
    """One for each process."""

    def __init__(self, people: People) -> None:
        """Through the connections of people."""
        self._people = people

    async def set(self, caller: Caller, asked: TopUpsAsked) -> dict[str, Any]:
        """What is wanted from now on. Raises ApiError."""
        try:
            return await self._people.run(self._set, caller, asked)
        except NothingToTopUpByError as error:
            raise ApiError(409, "no_saved_card", sentence(error)) from None
        except InvalidCommandError as error:
            raise bad_request("invalid_value", sentence(error)) from None
        except (PersistenceError, psycopg.Error):
            raise ledger_unavailable() from None

    async def shown(self, caller: Caller) -> dict[str, Any]:
        """What is wanted, and what was charged. Raises ApiError."""
        try:
            return await self._people.run(self._shown, caller)
        except (PersistenceError, psycopg.Error):
            raise ledger_unavailable() from None

    def leaving(self, user_id: UUID) -> list[Event]:
        """What leaving the house means here: the user's own account is charged no more. Blocks."""
        with self._people.connect() as connection:
            account_id = account_of(connection, user_id)
        if account_id is None:
            return []
        state = replay_top_ups(self._people.events.events_of(top_up_stream(str(account_id))))
        if not state.terms.enabled:
            return []
        off = state.terms._replace(enabled=False)
        stamp = new_envelope(f"user:{user_id}")
        return [*set_top_ups(state, str(account_id), str(user_id), off, stamp)]

    def _set(self, caller: Caller, asked: TopUpsAsked) -> dict[str, Any]:
        chargeable = self._chargeable(caller)
        for tried in range(1, TRIES_MAX + 1):
            state = self._state(caller)
            terms, stamp = asked.over(state.terms), new_envelope(caller.actor)
            check_terms(terms, chargeable=chargeable)
            events = set_top_ups(state, caller.account_id, caller.user_id, terms, stamp)
            try:
                if events:
                    self._people.events.append(events)
            except IntegrityError:
                if tried == TRIES_MAX:
                    raise
            else:
                break
        return self._shown(caller)

    def _shown(self, caller: Caller) -> dict[str, Any]:
        state = self._state(caller)
        terms = state.terms
        return {
            "enabled": terms.enabled,
            "threshold": terms.threshold,
            "amount": terms.amount,
            "monthly_cap": terms.cap,
            "currency": USD,
            "charged_this_month": state.charged.get(month_of(now_iso()), 0),
            "under_way": state.under_way is not None,
            "failures": state.failures,
            "again_at": state.again_at or None,
            "switched_off_because": state.off_for or None,
            "has_saved_card": self._chargeable(caller),
        }

    def _chargeable(self, caller: Caller) -> bool:
        with self._people.connect() as connection:
            customer = read_customer(connection, UUID(caller.account_id))
        return customer is not None and bool(customer.method_id)

    def _state(self, caller: Caller) -> TopUps:
        return replay_top_ups(self._people.events.events_of(top_up_stream(caller.account_id)))
