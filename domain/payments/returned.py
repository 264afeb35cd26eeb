"""What of a payment went back: refunds and disputes as their events tell them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from domain.events.money.returns import (
    DisputeLost,
    DisputeWithdrawn,
    DisputeWon,
    PaymentCost,
    PaymentDisputed,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentReturn,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from domain.events.base import Event


class ReturnKind(StrEnum):
    """Why money goes back."""

    REFUND = "refund"
    DISPUTE = "dispute"


class Phase(StrEnum):
    """How far a refund or a dispute is: it never goes back, in whatever order it is told."""

    OPENED = "opened"
    """A dispute is there; the money is still with us."""
    OUT = "out"
    """The money went: a refund was made, or a dispute's amount withdrawn."""
    LOST = "lost"
    """A dispute is over, and the money stays gone."""
    BACK = "back"
    """The money came back: a refund failed, or a dispute was won."""


ORDER = tuple(Phase)
GONE = frozenset({Phase.OUT, Phase.LOST})
"""Phases in which the money is not with us."""
CLASSES: Mapping[tuple[ReturnKind, Phase], type[PaymentReturn]] = {
    (ReturnKind.REFUND, Phase.OUT): PaymentRefunded,
    (ReturnKind.REFUND, Phase.BACK): PaymentRefundFailed,
    (ReturnKind.DISPUTE, Phase.OPENED): PaymentDisputed,
    (ReturnKind.DISPUTE, Phase.OUT): DisputeWithdrawn,
    (ReturnKind.DISPUTE, Phase.LOST): DisputeLost,
    (ReturnKind.DISPUTE, Phase.BACK): DisputeWon,
}
"""The event that says that it is so far."""
MEANING = {event: meaning for meaning, event in CLASSES.items()}


@dataclass(frozen=True, slots=True)
class Return:
    """A refund or a dispute: its amount in minor units, and the credits that moved, nano-USD."""

    id: str
    kind: ReturnKind
    minor: int
    phase: Phase
    reason: str = ""
    request_id: str = ""
    taken: int = 0
    given: int = 0
    ends: int = 0
    """When what is given back ends, Unix time; 0 for what does not."""


@dataclass(frozen=True, slots=True)
class Returns:
    """All of a payment, in the order in which they were first told, and what its costs came of."""

    items: tuple[Return, ...] = ()
    costs: frozenset[str] = frozenset()

    @property
    def taken(self) -> int:
        """Credits that are taken now, nano-USD."""
        return sum(each.taken - each.given for each in self.items)

    @property
    def refunded(self) -> int:
        """What is refunded now, in minor units."""
        refunds = (each for each in self.items if each.kind is ReturnKind.REFUND)
        return sum(each.minor for each in refunds if each.phase in GONE)

    @property
    def dispute(self) -> str:
        """How far the last dispute is; empty where there was none."""
        phases = [each.phase for each in self.items if each.kind is ReturnKind.DISPUTE]
        return phases[-1] if phases else ""

    def of(self, object_id: str) -> Return | None:
        """One by the provider's id."""
        return next((each for each in self.items if each.id == object_id), None)

    def asked(self, request_id: str) -> Return | None:
        """The refund that came of a request of ours."""
        return next((each for each in self.items if each.request_id == request_id), None)

    def gone_beside(self, object_id: str) -> int:
        """What all others have taken of the money, in minor units."""
        others = (each for each in self.items if each.id != object_id)
        return sum(each.minor for each in others if each.phase in GONE)


def evolve_returns(state: Returns, event: Event) -> Returns:
    """The next state; most events are about something else."""
    if isinstance(event, PaymentCost):
        return replace(state, costs=state.costs | {cost_key(event.kind, event.source_id)})
    if not isinstance(event, PaymentReturn):
        return state
    kind, phase = MEANING[type(event)]
    said = Return(event.object_id, kind, event.amount_minor, phase, event.reason)
    request_id = event.request_id if isinstance(event, PaymentRefunded) else ""
    return with_return(state, said, event.credits_nano_usd, request_id)


def with_return(state: Returns, said: Return, moved: int, request_id: str = "") -> Returns:
    """The next state after a fact: the return as it was said, and the credits that moved by it."""
    known = state.of(said.id)
    changed = replace(known or said, phase=said.phase, ends=said.ends)
    if said.phase is Phase.BACK:
        changed = replace(changed, given=changed.given + moved)
    else:
        changed = replace(changed, taken=changed.taken + moved)
    if request_id:
        changed = replace(changed, request_id=request_id)
    if known is None:
        return replace(state, items=(*state.items, changed))
    items = tuple(changed if each is known else each for each in state.items)
    return replace(state, items=items)


def cost_key(kind: str, source_id: str) -> str:
    """What a cost is known by: once for each of its source."""
    return f"{kind} {source_id}"
