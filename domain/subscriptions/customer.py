"""The one customer that an account is at the provider, and its saved way to be charged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from domain.errors import DomainError, InvalidCommandError
from domain.events.money.subscriptions import CardSaved, CustomerLinked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from domain.events.base import Event, Stamp

ID_CHARACTERS_MAX = 255


class OtherCustomerError(DomainError):
    """What is told is of another customer than it names."""

    code = "other_customer"


@dataclass(frozen=True, slots=True)
class Customer:
    """State of one customer."""

    account_id: str
    version: int
    customer_id: str
    method_id: str = ""
    as_of: int = 0


def customer_stream(account_id: str) -> UUID:
    """The stream of an account's customer: there is one."""
    return uuid5(UUID(account_id), "customer")


def evolve_customer(state: Customer | None, event: Event) -> Customer | None:
    """The next state."""
    match event:
        case CustomerLinked():
            return Customer(event.account_id, event.originator_version, event.customer_id)
        case CardSaved() if state:
            version = event.originator_version
            return replace(state, version=version, method_id=event.method_id, as_of=event.as_of)
        case _:
            return state


def replay_customer(events: Iterable[Event]) -> Customer | None:
    """The state after all events of the stream."""
    state: Customer | None = None
    for event in events:
        state = evolve_customer(state, event)
    return state


def link_customer(account_id: str, customer_id: str, stamp: Stamp) -> CustomerLinked:
    """An account is this customer from now on; raises InvalidCommandError for no id."""
    if not (0 < len(customer_id) <= ID_CHARACTERS_MAX and customer_id.isprintable()):
        message = f"{customer_id[:40]!r} is no id of a customer"
        raise InvalidCommandError(message)
    return CustomerLinked(
        originator_id=customer_stream(account_id),
        originator_version=1,
        **stamp,
        account_id=account_id,
        customer_id=customer_id,
    )


def save_card(state: Customer, method_id: str, as_of: int, stamp: Stamp) -> list[CardSaved]:
    """The customer left a way to be charged; nothing where that is known, or an older one."""
    if not method_id or method_id == state.method_id or as_of < state.as_of:
        return []
    return [
        CardSaved(
            originator_id=customer_stream(state.account_id),
            originator_version=state.version + 1,
            **stamp,
            account_id=state.account_id,
            method_id=method_id,
            as_of=as_of,
        )
    ]
