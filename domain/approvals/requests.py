"""A request, and who may decide about it; pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from domain.errors import DomainError
from domain.events.money.approvals import ApprovalDeclined, ApprovalGiven, ApprovalRequested

if TYPE_CHECKING:
    from collections.abc import Sequence

    from domain.events.base import By, Event, Stamp

REASON_CHARACTERS_MAX = 500


class Act(StrEnum):
    """What is asked for."""

    GRANT = "grant"
    DEBIT = "debit"


class Status(StrEnum):
    """Where a request stands."""

    PENDING = "pending"
    APPROVED = "approved"
    DECLINED = "declined"
    EXPIRED = "expired"


class UnknownApprovalError(DomainError):
    """There is no such request."""

    code = "approval_not_found"


class OwnRequestError(DomainError):
    """Nobody decides about what they asked for themselves."""

    code = "own_request"


class ApprovalOverError(DomainError):
    """It was decided otherwise, or its time is over."""

    code = "approval_over"


class RequestReusedError(DomainError):
    """Under this key something else was asked for."""

    code = "idempotency_key_reused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A grant or a debit, in nano-USD; `made_id` is the lot or the debit that it becomes."""

    act: Act
    account_id: str
    amount: int
    kind: str
    made_id: UUID
    expires_at: str | None = None
    lot_id: str | None = None

    @property
    def approval_id(self) -> UUID:
        """The id of its request: the same order has the same one."""
        return uuid5(self.made_id, "approval")


@dataclass(frozen=True, slots=True)
class Approval:
    """A request as its events say."""

    requested: ApprovalRequested
    decided: ApprovalGiven | ApprovalDeclined | None = None

    @property
    def version(self) -> int:
        """Events so far."""
        return 1 if self.decided is None else 2

    def status(self, now: str) -> Status:
        """Where it stands at an instant (ISO 8601)."""
        if self.decided is None:
            return Status.PENDING if now < self.requested.decide_by else Status.EXPIRED
        given = isinstance(self.decided, ApprovalGiven)
        return Status.APPROVED if given else Status.DECLINED

    @property
    def order(self) -> Order:
        """What was asked for."""
        asked = self.requested
        return Order(
            act=Act(asked.act),
            account_id=asked.account_id,
            amount=asked.amount_nano_usd,
            kind=asked.kind,
            made_id=UUID(asked.made_id),
            expires_at=asked.expires_at,
            lot_id=asked.lot_id,
        )


def needs_second(amount: int, above: int) -> bool:
    """Whether so much, nano-USD, needs a second person; `above` 0 asks for none."""
    return 0 < above < amount


def replay_approval(events: Sequence[Event]) -> Approval | None:
    """The request of a stream; None before the first event."""
    found: Approval | None = None
    for event in events:
        if isinstance(event, ApprovalRequested):
            found = Approval(event)
        elif found is not None and isinstance(event, ApprovalGiven | ApprovalDeclined):
            found = Approval(found.requested, event)
    return found


def request_approval(
    known: Approval | None, order: Order, by: By, stamp: Stamp, decide_by: str
) -> list[ApprovalRequested]:
    """Ask for it; nothing where it was asked for before. Raises RequestReusedError."""
    if known is not None:
        if known.order != order or known.requested.by_user_id != by.user_id:
            message = "under this idempotency key something else was asked for: use a new one"
            raise RequestReusedError(message)
        return []
    return [
        ApprovalRequested(
            originator_id=order.approval_id,
            originator_version=1,
            **stamp,
            **by.told(),
            account_id=order.account_id,
            act=order.act,
            amount_nano_usd=order.amount,
            kind=order.kind,
            made_id=str(order.made_id),
            decide_by=decide_by,
            expires_at=order.expires_at,
            lot_id=order.lot_id,
        )
    ]


def decide_approval(
    known: Approval | None, by: By, stamp: Stamp, now: str, *, approve: bool
) -> list[ApprovalGiven | ApprovalDeclined]:
    """Approve or decline; nothing where it was decided so before.

    Raises UnknownApprovalError, OwnRequestError, ApprovalOverError.
    """
    if known is None:
        message = "there is no request with this id"
        raise UnknownApprovalError(message)
    if known.requested.by_user_id == by.user_id:
        message = "nobody decides about their own request: another admin has to"
        raise OwnRequestError(message)
    status = known.status(now)
    if status is (Status.APPROVED if approve else Status.DECLINED):
        return []
    if status is not Status.PENDING:
        message = f"this request is {status}: nothing can be decided any more"
        raise ApprovalOverError(message)
    made = ApprovalGiven if approve else ApprovalDeclined
    return [
        made(
            originator_id=known.requested.originator_id,
            originator_version=known.version + 1,
            **stamp,
            **by.told(),
            account_id=known.requested.account_id,
        )
    ]
