"""The automatic top-ups of one account: events evolve state, commands decide new ones.

The stream's version is the guard: who begins a charge appends to it, so of any number of gateways
that see too little at once, one begins. What is charged counts in its month from its begin; what
failed does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID, uuid5

from domain.errors import InvalidCommandError
from domain.events.money.topups import TopUpBegun, TopUpEnded, TopUpsSet, TopUpsSwitchedOff

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from domain.events.base import Event, Stamp
    from domain.events.money.topups import TopUpEvent

NANO_PER_CENT = 10**7
AMOUNT_LEAST, AMOUNT_MAX = 500, 1_000_000
"""Of one top-up, in cents: 5 to 10,000 USD."""
CAP_MAX = 10_000_000
"""Of a month, in cents: 100,000 USD."""
FAILURES_MAX = 3
"""Charges that fail one after the other; then it is switched off."""
HOPELESS = frozenset({"authentication_required", "unresolved", "refused"})
"""Failures that no repetition mends: the card's owner has to come, or nobody knows what became."""


class NothingToTopUpByError(InvalidCommandError):
    """There is no saved way to be charged."""

    code = "no_saved_card"


class Terms(NamedTuple):
    """What an account wants, in cents."""

    enabled: bool = False
    threshold: int = 0
    amount: int = 0
    cap: int = 0


NOTHING = Terms()


class UnderWay(NamedTuple):
    """A charge that has not ended."""

    payment_id: str
    method_id: str
    amount: int
    month: str


@dataclass(frozen=True, slots=True)
class TopUps:
    """State of an account's top-ups."""

    version: int = 0
    terms: Terms = NOTHING
    user_id: str = ""
    under_way: UnderWay | None = None
    charged: Mapping[str, int] = field(default_factory=dict)
    """Cents by month, of what is paid or under way."""
    failures: int = 0
    """One after the other."""
    again_at: str = ""
    """Nothing is begun before this instant."""
    off_for: str = ""
    """Why it was switched off."""


def top_up_stream(account_id: str) -> UUID:
    """The stream of an account's top-ups."""
    return uuid5(UUID(account_id), "auto top-up")


def evolve_top_ups(state: TopUps, event: Event) -> TopUps:
    """The next state."""
    match event:
        case TopUpsSet():
            terms = Terms(
                event.enabled, event.threshold_minor, event.amount_minor, event.monthly_cap_minor
            )
            return replace(
                state,
                version=event.originator_version,
                terms=terms,
                user_id=event.user_id,
                failures=0,
                again_at="",
                off_for="",
            )
        case TopUpBegun():
            way = UnderWay(event.payment_id, event.method_id, event.amount_minor, event.month)
            return replace(
                _charged(state, event.month, event.amount_minor),
                version=event.originator_version,
                under_way=way,
            )
        case TopUpEnded():
            way_ = state.under_way
            back = 0 if event.paid or way_ is None else -way_.amount
            return replace(
                _charged(state, "" if way_ is None else way_.month, back),
                version=event.originator_version,
                under_way=None,
                failures=0 if event.paid else state.failures + 1,
                again_at=event.again_at,
            )
        case TopUpsSwitchedOff():
            return replace(
                state,
                version=event.originator_version,
                terms=state.terms._replace(enabled=False),
                off_for=event.reason,
            )
        case _:
            return state


def replay_top_ups(events: Iterable[Event]) -> TopUps:
    """The state after all events of the stream."""
    state = TopUps()
    for event in events:
        state = evolve_top_ups(state, event)
    return state


def check_terms(terms: Terms, *, chargeable: bool) -> None:
    """Raise InvalidCommandError for what nobody can be charged by, NothingToTopUpByError without a
    saved way to be.
    """
    if terms == NOTHING:
        return
    if not AMOUNT_LEAST <= terms.amount <= AMOUNT_MAX:
        message = f"the amount is {AMOUNT_LEAST} to {AMOUNT_MAX} cents"
        raise InvalidCommandError(message)
    if not 0 <= terms.threshold <= AMOUNT_MAX:
        message = f"the threshold is 0 to {AMOUNT_MAX} cents"
        raise InvalidCommandError(message)
    if not terms.amount <= terms.cap <= CAP_MAX:
        message = f"the monthly cap is at least the amount, and at most {CAP_MAX} cents"
        raise InvalidCommandError(message)
    if terms.enabled and not chargeable:
        message = "no card is saved: POST /api/stripe/subscription-checkout with mode setup first"
        raise NothingToTopUpByError(message)


def set_top_ups(
    state: TopUps, account_id: str, user_id: str, terms: Terms, stamp: Stamp
) -> list[TopUpsSet]:
    """What an account wants from now on; nothing where that is so already."""
    if state.terms == terms and state.user_id in ({user_id} if state.version else {""}):
        return []
    return [
        TopUpsSet(
            **_next(account_id, state, stamp),
            user_id=user_id,
            enabled=terms.enabled,
            threshold_minor=terms.threshold,
            amount_minor=terms.amount,
            monthly_cap_minor=terms.cap,
        )
    ]


def is_due(state: TopUps, available_nano_usd: int, now: str) -> bool:
    """Whether an account is to be charged now, by what it has available; `now` is an instant."""
    terms = state.terms
    if not terms.enabled or state.under_way is not None or now < state.again_at:
        return False
    if available_nano_usd >= terms.threshold * NANO_PER_CENT:
        return False
    return has_room(state, now)


def has_room(state: TopUps, now: str) -> bool:
    """Whether the month's cap allows another charge."""
    return state.charged.get(month_of(now), 0) + state.terms.amount <= state.terms.cap


def cause_of(state: TopUps) -> str:
    """What stands for the reason of the next charge: the same for all who see the same state."""
    return f"too little after version {state.version}"


def payment_of(account_id: str, cause: str) -> UUID:
    """The payment of a cause: there is one."""
    return uuid5(UUID(account_id), f"auto top-up: {cause}")


def begin_top_up(
    state: TopUps, account_id: str, cause: str, method_id: str, now: str, stamp: Stamp
) -> TopUpBegun:
    """The account is charged what its terms say; `is_due` said so."""
    return TopUpBegun(
        **_next(account_id, state, stamp),
        cause=cause,
        payment_id=str(payment_of(account_id, cause)),
        method_id=method_id,
        amount_minor=state.terms.amount,
        month=month_of(now),
    )


def end_top_up(
    state: TopUps, account_id: str, failure: str, again_at: str, stamp: Stamp, off: Stamp
) -> list[TopUpEvent]:
    """What is under way was paid, or failed for a reason; too often, and it is switched off.

    Nothing where nothing is under way any more: somebody else was quicker.
    """
    way = state.under_way
    if way is None:
        return []
    ended = TopUpEnded(
        **_next(account_id, state, stamp),
        payment_id=way.payment_id,
        paid=not failure,
        failure=failure,
        again_at=again_at if failure else "",
    )
    after = evolve_top_ups(state, ended)
    if failure in HOPELESS or after.failures >= FAILURES_MAX:
        return [ended, TopUpsSwitchedOff(**_next(account_id, after, off), reason=failure)]
    return [ended]


def month_of(instant: str) -> str:
    """The month of an instant, in UTC."""
    return instant[: len("2027-01")]


def _charged(state: TopUps, month: str, amount: int) -> TopUps:
    if not amount:
        return state
    return replace(state, charged={**state.charged, month: state.charged.get(month, 0) + amount})


def _next(account_id: str, state: TopUps, stamp: Stamp) -> dict[str, Any]:
    return {
        "originator_id": top_up_stream(account_id),
        "originator_version": state.version + 1,
        "account_id": account_id,
        **stamp,
    }
