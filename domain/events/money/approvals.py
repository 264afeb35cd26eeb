"""Events of grants and debits that need a second admin. Each request is a stream."""

from __future__ import annotations

from dataclasses import dataclass

from domain.events.base import Event


@dataclass(frozen=True, kw_only=True)
class ApprovalEvent(Event):
    """An act on a request about an account.

    `by_user_id` is the user who did it, None for an operator at a shell; `origin` stands for the
    address that it came from (a keyed hash), empty for none.
    """

    CATEGORY = "approval"

    account_id: str
    by_user_id: str | None = None
    origin: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class ApprovalRequested(ApprovalEvent):
    """Somebody wants to give credits (`act` is grant), or to take them back (debit).

    `made_id` is the lot or the debit that it becomes, once; `lot_id` the grant that a debit
    concerns. It can be decided before `decide_by`.
    """

    TOPIC = "approval.requested.v1"

    act: str
    amount_nano_usd: int
    kind: str
    made_id: str
    decide_by: str
    expires_at: str | None = None
    lot_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class ApprovalGiven(ApprovalEvent):
    """A second admin approved it: it is carried out from now on."""

    TOPIC = "approval.given.v1"


@dataclass(frozen=True, kw_only=True)
class ApprovalDeclined(ApprovalEvent):
    """A second admin declined it: nothing happens."""

    TOPIC = "approval.declined.v1"
