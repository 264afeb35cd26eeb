"""Grants and debits above an amount: asked for by one admin, carried out when another approves.

What was approved is carried out under an id that was named when it was asked for, so however often
that is tried, it is done once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from eventsourcing.persistence import IntegrityError

from command_api.money.debits import Debit, append_debit
from command_api.money.grants import Grant, append_grant
from domain.approvals.requests import (
    Act,
    Order,
    Status,
    UnknownApprovalError,
    decide_approval,
    needs_second,
    replay_approval,
    request_approval,
)
from domain.ledger.lots import DebitKind, GrantKind
from event_store.ids import new_envelope, now_iso, to_iso

if TYPE_CHECKING:
    from domain.approvals.requests import Approval
    from domain.events.base import By
    from event_store.append.committer import Committer
    from event_store.log.aggregates import Aggregates

TRIES_MAX = 5
"""How often a command is decided anew because somebody else was quicker."""


class Rule(NamedTuple):
    """Above how much, in nano-USD, a second admin is needed (0: never), and for how many hours."""

    above: int
    hours: int

    def wants(self, amount: int) -> bool:
        """Whether so much waits for a second admin."""
        return needs_second(amount, self.above)


class Actor(NamedTuple):
    """Who acts, as events name them, and as the rule knows them."""

    name: str
    by: By


def order_of(what: Grant | Debit) -> Order:
    """What is asked for when a grant or a debit is."""
    if isinstance(what, Grant):
        return Order(
            act=Act.GRANT,
            account_id=str(what.account_id),
            amount=what.amount,
            kind=what.kind,
            made_id=what.lot_id,
            expires_at=what.expires_at,
        )
    return Order(
        act=Act.DEBIT,
        account_id=str(what.account_id),
        amount=what.amount,
        kind=what.kind,
        made_id=what.debit_id,
        lot_id=None if what.lot_id is None else str(what.lot_id),
    )


def request(events: Aggregates, rule: Rule, order: Order, actor: Actor) -> Approval:
    """Ask for it; what was asked for before is as it stands. Blocks.

    Raises RequestReusedError, and PersistenceError.
    """
    decide_by = to_iso(datetime.now(UTC) + timedelta(hours=rule.hours))
    for tried in range(TRIES_MAX):
        known = _known(events, order.approval_id)
        asked = request_approval(known, order, actor.by, new_envelope(actor.name), decide_by)
        try:
            if asked:
                events.append(asked)
        except IntegrityError:
            if tried == TRIES_MAX - 1:
                raise
        else:
            break
    return _read(events, order.approval_id)


def decide(events: Aggregates, approval_id: UUID, actor: Actor, *, approve: bool) -> Approval:
    """Approve or decline; so again changes nothing. Blocks.

    Raises UnknownApprovalError, OwnRequestError, ApprovalOverError, and PersistenceError.
    """
    for tried in range(TRIES_MAX):
        known, stamp = _known(events, approval_id), new_envelope(actor.name)
        decided = decide_approval(known, actor.by, stamp, now_iso(), approve=approve)
        try:
            if decided:
                events.append(decided)
        except IntegrityError:  # Somebody was quicker: their decision counts.
            if tried == TRIES_MAX - 1:
                raise
        else:
            break
    return _read(events, approval_id)


async def carry_out(committer: Committer, approval: Approval, *, actor: str) -> bool:
    """Give or take what was approved; says whether it was done now.

    Raises InvalidAmountError, and EventStoreError: it is carried out when it is approved again.
    """
    assert approval.status(now_iso()) is Status.APPROVED
    order, reason = approval.order, approval.requested.reason
    if order.act is Act.GRANT:
        grant = Grant(
            account_id=UUID(order.account_id),
            amount=order.amount,
            kind=GrantKind(order.kind),
            reason=reason,
            expires_at=order.expires_at,
            made_id=order.made_id,
        )
        return (await append_grant(committer, grant, actor=actor))[1]
    debit = Debit(
        account_id=UUID(order.account_id),
        debit_key="",
        amount=order.amount,
        kind=DebitKind(order.kind),
        reason=reason,
        lot_id=None if order.lot_id is None else UUID(order.lot_id),
        made_id=order.made_id,
    )
    return (await append_debit(committer, debit, actor=actor)).first


def _known(events: Aggregates, approval_id: UUID) -> Approval | None:
    return replay_approval(events.events_of(approval_id))


def _read(events: Aggregates, approval_id: UUID) -> Approval:
    found = _known(events, approval_id)
    if found is None:
        message = "there is no request with this id"
        raise UnknownApprovalError(message)
    return found
